"""Interrupts that break into telemetry's work, which are meant for the user's cell.

IPython would take one for a failure of the callback, print that, and run the cell on.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# From the end of a callback to the cell's own next statement; by far the most of it is margin.
_SOON = 0.02  # seconds


def completed(work: Callable[[T], None], about: T, wanted: Callable[[], bool]) -> None:
    """Do `work`; what an interrupt has broken off is done again, and the interrupt is sent once
    more if it is still `wanted`.
    """
    try:
        work(about)
    except KeyboardInterrupt:
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            work(about)
        finally:
            signal.signal(signal.SIGINT, handler)
        if wanted():
            # To this very thread, as the signal has to end a `sleep` in it.
            here = threading.get_ident(), signal.SIGINT
            send = threading.Timer(_SOON, signal.pthread_kill, here)
            send.daemon = True
            send.start()
