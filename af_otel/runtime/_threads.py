"""Background threads that receive no signal.

The kernel delivers a signal to any thread of the process that does not block it. Code that blocks a
signal and then waits for it (`sigwait`, `signalfd`) would lose it to a thread of ours, and the
process would die of it. SIGPIPE is blocked as well: where the user's code restores its default, a
connection that the Collector closed would end the process.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

# A thread raises these itself, by a fault: blocked, they would keep `faulthandler` from reporting.
_FAULTS = {
    signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS,
    signal.SIGTRAP,
}  # fmt: skip
_BLOCKED = signal.valid_signals() - _FAULTS


def start(thread: threading.Thread) -> None:
    """Start a thread that blocks signals, and so do the threads that it starts.

    A thread inherits the mask of the one that starts it.
    """
    before = _mask()
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _mask() -> set[int]:
    """Return this thread's mask.

    It is read before it is changed: `pthread_sigmask` runs pending handlers, and one that raises
    would take the previous mask with it.
    """
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
