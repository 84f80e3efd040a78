"""Lines that move on a terminal while something takes its time, and stand nowhere else."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from rich.live import Live
from rich.spinner import Spinner

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, RenderableType
    from typing_extensions import Self


class Moving(AbstractContextManager["Moving"]):
    """Draws what `_drawn` returns, again and again, for as long as the context lasts.

    Parameters
    ----------
    leave
        Whether the last drawing stays on the terminal.
    """

    def __init__(self, console: Console, *, leave: bool = True) -> None:
        self._console = console
        self._spinner = Spinner("dots", style="cyan")
        self._leave = leave
        self._live: Live | None = None

    def _drawn(self) -> RenderableType:
        raise NotImplementedError

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            # By itself: seconds pass while something is waited for.
            self._live = Live(
                console=self._console,
                get_renderable=self._drawn,
                refresh_per_second=8,
                transient=not self._leave,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
