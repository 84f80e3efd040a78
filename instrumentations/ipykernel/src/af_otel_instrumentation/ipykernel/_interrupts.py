"""Interrupts that come while telemetry works, which are meant for the user's cell.

IPython would take one for a failure of the callback, print that, and run the cell on.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

# From the end of a callback to the cell's own first statement; by far the most of it is margin.
_SOON = 0.02  # seconds


class Held:
    """Hold SIGINT back within a `with`; afterwards it comes again, if the cell is still to run."""

    def __init__(self, *, again: bool) -> None:
        self._again = again
        self._came = False
        self._handler: object = None

    def __enter__(self) -> Held:  # noqa: PYI034 - Self is 3.11's
        # Only where it would be raised here: signals reach the main thread alone.
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._handler is None:
            return
        signal.signal(signal.SIGINT, self._handler)  # type: ignore[arg-type]
        if self._came and self._again:
            main = threading.get_ident()
            # To that thread itself, as the signal has to end a `sleep` there.
            send = threading.Timer(_SOON, signal.pthread_kill, (main, signal.SIGINT))
            send.daemon = True
            send.start()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._came = True
