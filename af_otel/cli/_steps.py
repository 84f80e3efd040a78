"""Steps of an install on the terminal: a table that moves, or elsewhere a line for each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from af_otel.cli._moving import Moving
from af_otel.kubernetes.progress import Progress, Step

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_DONE, _FAILED = Text("✓", style="green"), Text("✗", style="bold red")
_SLOW = 2.0  # seconds; then a log is told what is waited for


class Steps(Moving):
    """Shows the steps of `progress` for as long as the context lasts."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.progress = Progress(changed=self._changed, notice=self._notice)
        self._ended: set[int] = set()
        self._told: dict[int, tuple[float, str]] = {}

    def _notice(self, what: str) -> None:
        self._console.print(f"note: {what}", highlight=False, markup=False, soft_wrap=True)

    def _changed(self) -> None:
        if self._live is not None:
            return
        for step in self.progress.steps:
            if step.state == "running":
                self._slow(step)
            elif id(step) not in self._ended:
                self._ended.add(id(step))
                took = f"{step.state} after {step.elapsed or 0:.1f} s"
                self._line(f"{step.name}: {took}  {step.detail}".rstrip())

    def _slow(self, step: Step) -> None:
        at, told = self._told.get(id(step), (step.began, ""))
        if step.detail and step.detail != told and time.monotonic() - at > _SLOW:
            self._told[id(step)] = (time.monotonic(), step.detail)
            self._line(f"{step.name}: {step.detail}")

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _drawn(self) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True, min_width=7)
        table.add_column(overflow="ellipsis", no_wrap=True)
        for step in self.progress.steps:
            mark: RenderableType = self._spinner
            if step.state != "running":
                mark = _DONE if step.state == "done" else _FAILED
            table.add_row(
                mark,
                Text(step.name),
                f"{step.elapsed or 0:.1f} s",
                Text(step.detail, style="dim"),
            )
        return table
