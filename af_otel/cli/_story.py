"""A story on the terminal: one line a span, its tree to the left, its time to the right."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from af_otel_semconv import attributes as names
from af_otel_semconv import services, spans
from rich.table import Table
from rich.text import Text

from af_otel.backends.story import Fold, Node, State, Story, fold
from af_otel.cli._page import PAPER

if TYPE_CHECKING:
    from collections.abc import Iterator

KEEP_SPANS = 6  # siblings of one name that are told one by one
KEEP_TRACES = 20  # the same for the traces of a session
_BAR = 24  # columns
_BARS_FROM = 110  # columns; a narrower terminal needs all of them for words
_OTHERS = 14 + 8 + 8 + 4 * 2  # columns of service, times and the space between
_SECOND, _MINUTE, _HOUR, _DAY = 0.9995, 60, 3600, 86400  # below the first, no 1000 ms

_STYLES = {
    services.JUPYTERHUB: "blue",
    services.JUPYTER_SERVER: "cyan",
    services.JUPYTER_KERNEL: "magenta",
    services.DASK_SCHEDULER: "green",
    services.DASK_WORKER: "yellow",
}


def heading(story: Story) -> Iterator[Text]:
    """Which session, when, how much, and whether all went well."""
    yield Text(
        f"Session {story.session_id}" if story.session_id else f"Trace {story.traces[0]}",
        style="bold",
    )
    # The reader's own clock: nobody knows by heart what a cell's time was in UTC.
    began = datetime.fromtimestamp(story.start / 1e9).astimezone()
    facts = Text(
        f"{began:%Y-%m-%d %H:%M:%S %Z}, {duration((story.end - story.start) / 1e9)}: "
        f"{count(sum(1 for _ in story.nodes()), 'span')} in {count(len(story.traces), 'trace')} "
        f"from {count(len(story.processes), 'process', 'processes')}, "
    )
    facts.append(
        count(story.errors, "error") if story.errors else "no errors",
        "bold red" if story.errors else "",
    )
    yield facts


class Lines:
    """A story's table for a terminal of `width` columns; `everything` folds nothing."""

    def __init__(self, story: Story, width: int, *, everything: bool = False) -> None:
        self.story = story
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
        return fold(siblings, len(siblings) if self.everything else keep, kind=_kind)

    def _add(self, node: Node, guide: Text, below: Text) -> None:
        span = node.span
        root = not guide
        line = guide + Text(span.name, style="bold" if root else "")
        if root and node.orphaned:
            line.append("  its parent is not in the trace", "yellow")
        number = span.attributes.get(names.CELL_EXECUTION_COUNT)
        if number is not None:
            line.append(f" [{number}]")
        for words, style in self._remarks(node):
            line.append(f"  {words}", style)
        self.table.add_row(
            line,
            Text(span.service, style=_STYLES.get(span.service, "")),
            Text(f"+{duration((span.start - self.story.start) / 1e9)}", style="dim"),
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
        longest = max(node.span.seconds for node in item.nodes)
        words = f"… {len(item.nodes)} more `{item.name}` {what}s, at most {duration(longest)} each"
        self.table.add_row(guide + Text(words, style="dim"))

    def _remarks(self, node: Node) -> Iterator[tuple[str, str]]:
        if node.error:
            yield f"failed: {node.error}" if node.error != "error" else "failed", "bold red"
        if node.state is not State.ENDED:
            yield node.state.value, "bold yellow"
        attributes = node.span.attributes
        tasks = attributes.get(names.GRAPH_TASKS, attributes.get(names.TASKS))
        if tasks is not None:
            yield count(int(tasks), "task"), "dim"
        erred = attributes.get(names.GRAPH_TASKS_ERRED, attributes.get(names.TASKS_ERRED))
        if erred:
            yield f"{erred} failed", "red"
        for link in node.span.links:
            name = self.story.named(link)
            yield f"from `{name}`" if name else f"from trace {link.trace_id}", "dim"

    def _bar(self, node: Node) -> Text:
        start, end = self._window
        scale = _BAR / max(end - start, 1)
        left = max(0, min(int((node.span.start - start) * scale), _BAR - 1))
        # At least one column, or short spans were not to be seen.
        right = max(left + 1, min(round((node.span.end - start) * scale), _BAR))
        drawn = ("━" if node.state is State.ENDED else "┅") * (right - left)
        style = "red" if node.error else _STYLES.get(node.span.service, "")
        return Text(" " * left + drawn, style=style)


def _kind(node: Node) -> str:
    name = node.span.name
    return spans.RUN_TASKS if name.startswith(spans.RUN_TASKS) else name


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 span", "12,000 spans"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Three digits at most, in the unit that suits."""
    if seconds < _SECOND:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < _MINUTE:
        return f"{seconds:.3g} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)}m {int(seconds % _MINUTE):02}s"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)}h {int(seconds % _HOUR // _MINUTE):02}m"
    return f"{int(seconds // _DAY)}d {int(seconds % _DAY // _HOUR):02}h"
