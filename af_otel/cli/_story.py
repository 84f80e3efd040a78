"""A story on the terminal: one line a span, its tree to the left, its time to the right."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from af_otel_semconv import services
from rich.table import Table
from rich.text import Text

from af_otel.backends.story import Fold, Node, State, Story, fold
from af_otel.backends.words import (
    KEEP_SPANS,
    KEEP_TRACES,
    duration,
    errors,
    facts,
    folded,
    kind,
    remarks,
    title,
)
from af_otel.cli._page import PAPER

if TYPE_CHECKING:
    from collections.abc import Iterator

_BAR = 24  # columns
_BARS_FROM = 110  # columns; a narrower terminal needs all of them for words
_OTHERS = 14 + 8 + 8 + 4 * 2  # columns of service, times and the space between

_STYLES = {
    services.JUPYTERHUB: "blue",
    services.JUPYTER_SERVER: "cyan",
    services.JUPYTER_KERNEL: "magenta",
    services.DASK_SCHEDULER: "green",
    services.DASK_WORKER: "yellow",
}
_SORTS = {"failed": "bold red", "open": "bold yellow", "less": "red", "plain": "dim", "link": "dim"}


# What a terminal takes for a command, and what turns the writing's direction.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def heading(story: Story) -> Iterator[Text]:
    """Which session, when, how much, and whether all went well."""
    yield Text(
        _plain(f"Session {story.session_id}" if story.session_id else f"Trace {story.traces[0]}"),
        style="bold",
    )
    # The reader's own clock: nobody knows by heart what a cell's time was in UTC.
    began = datetime.fromtimestamp(story.start / 1e9).astimezone()
    line = Text(f"{began:%Y-%m-%d %H:%M:%S %Z}, {facts(story)}, ")
    line.append(errors(story), "bold red" if story.errors else "")
    yield line


class Lines:
    """A story's table for a terminal of `width` columns; `everything` folds nothing."""

    def __init__(self, story: Story, width: int, *, everything: bool = False) -> None:
        self.story = story
        self._start = story.start  # which looks at every span
        self.everything = everything
        self.bars = _BARS_FROM <= width < PAPER
        self.table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        room = width - _OTHERS - (_BAR + 2 if self.bars else 0)
        self.table.add_column("span", no_wrap=True, overflow="ellipsis", max_width=max(room, 20))
        self.table.add_column("service", no_wrap=True)
        self.table.add_column("at", justify="right", no_wrap=True)
        self.table.add_column("took", justify="right", no_wrap=True)
        if self.bars:
            self.table.add_column("", no_wrap=True, width=_BAR)
        for item in self._folded(story.roots, KEEP_TRACES):
            if isinstance(item, Fold):
                self._add_fold(item, Text(), what="trace")
            else:
                nodes = list(item.walk())
                self._window = item.span.start, max(node.span.end for node in nodes)
                self._add(item, Text(), Text())

    def _folded(self, siblings: list[Node], keep: int) -> list[Node | Fold]:
        return fold(siblings, len(siblings) if self.everything else keep, kind=kind)

    def _add(self, node: Node, guide: Text, below: Text) -> None:
        span = node.span
        root = not guide
        name, number = span.name, title(node).removeprefix(span.name)
        line = guide + Text(_plain(name), style="bold" if root else "")
        if root and node.orphaned:
            line.append("  its parent is not in the trace", "yellow")
        line.append(_plain(number))
        for remark in remarks(self.story, node):
            line.append(f"  {_plain(remark.words)}", _SORTS[remark.sort])
        self.table.add_row(
            line,
            Text(_plain(span.service), style=_STYLES.get(span.service, "")),
            Text(f"+{duration((span.start - self._start) / 1e9)}", style="dim"),
            Text(duration(span.seconds) if node.state is State.ENDED else ""),
            *([self._bar(node)] if self.bars else []),
        )
        below_this = self._folded(node.children, KEEP_SPANS)
        for item in below_this:
            last = item is below_this[-1]
            into = below + Text("└─ " if last else "├─ ", style="dim")
            if isinstance(item, Fold):
                self._add_fold(item, into, what="span")
            else:
                self._add(item, into, below + Text("   " if last else "│  ", style="dim"))

    def _add_fold(self, item: Fold, guide: Text, *, what: str) -> None:
        self.table.add_row(guide + Text(_plain(folded(item, what)), style="dim"))

    def _bar(self, node: Node) -> Text:
        start, end = self._window
        scale = _BAR / max(end - start, 1)
        left = max(0, min(int((node.span.start - start) * scale), _BAR - 1))
        # At least one column, or short spans were not to be seen.
        right = max(left + 1, min(round((node.span.end - start) * scale), _BAR))
        drawn = ("━" if node.state is State.ENDED else "┅") * (right - left)
        style = "red" if node.error else _STYLES.get(node.span.service, "")
        return Text(" " * left + drawn, style=style)


def _plain(text: str) -> str:
    """Return text of anybody's spans as one that an operator's terminal only shows."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
