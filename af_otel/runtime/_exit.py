"""The end of a process: what is still to be sent is sent."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def on_sigterm(finish: Callable[[], None], patience: Callable[[], float | None]) -> None:
    """Call `finish`, for `patience` seconds at most, then die as the signal would have had it.

    None is for a process that is about to end by itself, which it then does: a pool tells its
    processes to end, and sends this meanwhile.

    On a thread of its own: what the signal interrupts may hold a lock that `finish` needs.

    Only where the default action stands: a host that handles the signal ends in order, and `atexit`
    is reached. Python runs handlers on the main thread, so only that may set one.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        left = patience()
        if left is None:
            return
        signal.signal(number, signal.SIG_DFL)
        done = threading.Event()
        with suppress(RuntimeError):  # the interpreter is on its way out
            _thread.start_new_thread(_call, (finish, done))
            done.wait(left)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, handler)


def _call(finish: Callable[[], None], done: threading.Event) -> None:
    try:
        finish()
    finally:
        done.set()


def of_multiprocessing(finish: Callable[[], None]) -> None:
    """Call `finish` at the end of a process that multiprocessing forked: it ends without `atexit`.

    That is said to it in the process itself, as it forgets at its start what was said before.
    """
    util, process = (sys.modules.get(f"multiprocessing.{name}") for name in ("util", "process"))
    if util is None or process is None:
        return

    def at_end(_: object = None) -> None:
        util.Finalize(None, finish, exitpriority=-1)  # after the user's own

    util.register_after_fork(finish, at_end)
    if process.parent_process() is not None:
        at_end()


def before_threads_end(settle: Callable[[], None]) -> None:
    """Call `settle` when the main thread is done, while threads and pools can still be started.

    `atexit` comes after both have ended. This is what `concurrent.futures` uses; the last to
    register is called first, so that module must have done so before us.
    """
    with suppress(Exception):
        import concurrent.futures.thread  # noqa: F401

        threading._register_atexit(settle)  # type: ignore[attr-defined]  # noqa: SLF001
