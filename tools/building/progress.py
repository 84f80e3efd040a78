"""Say what is built, which of how many, how far, and how long so far."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

if TYPE_CHECKING:
    from types import TracebackType

    from rich.status import Status
    from typing_extensions import Self

PLAIN_INTERVAL = 15.0  # seconds between lines where no terminal redraws them
REDRAW_INTERVAL = 0.25


class Progress:
    """One line: redrawn on a terminal, else written anew every 15 s and at each change of phase."""

    def __init__(self, total: int, stream: TextIO = sys.stderr) -> None:
        self._console = Console(file=stream, highlight=False)
        self._stream = stream
        self._total = total
        self._number = 0
        self._name = ""
        self._phase = ""
        self._done = 0
        self._of = 0
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._status: Status | None = None
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._ticker.join()
        if self._status is not None:
            self._status.stop()

    def server(self, name: str) -> None:
        """The next server begins."""
        self._number += 1
        self._name = name
        self._began = time.monotonic()

    def phase(self, what: str, of: int = 0) -> None:
        """Another step of this server begins, with so many parts if known."""
        self._phase, self._done, self._of = what, 0, of
        if self._status is None:
            self._write(self._line())

    def advance(self) -> None:
        """One more part is done."""
        self._done += 1

    def say(self, text: str) -> None:
        """A line that stays."""
        self._write(text)

    def finished(self) -> None:
        """The current server is built."""
        self._write(f"{self._heading()}: built in {self._elapsed()}")

    def _heading(self) -> str:
        return f"[{self._number}/{self._total}] {self._name}"

    def _line(self) -> str:
        count = f" {self._done}" + (f" of {self._of}" if self._of else "")
        return f"{self._heading()}: {self._phase}{count if self._done else ''}, {self._elapsed()}"

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"

    def _write(self, text: str) -> None:
        if self._status is not None:
            self._console.print(text, markup=False)
        else:
            print(text, file=self._stream, flush=True)

    def _tick(self) -> None:
        interval = REDRAW_INTERVAL if self._status is not None else PLAIN_INTERVAL
        while not self._stop.wait(interval):
            if not self._phase:
                continue
            if self._status is not None:
                # Its own markup would eat the brackets of the count.
                self._status.update(self._line().replace("[", r"\["))
            else:
                self._write(self._line())
