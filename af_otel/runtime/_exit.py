"""Send what is still queued when a process exits.

No signal is touched: its handler, disposition and inheritance belong to the user's code and to the
host. Both may compose with what they find, so a process that is killed sends nothing more.
"""

from __future__ import annotations

import sys
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def after_the_host(owner: object, finish: Callable[[], None]) -> None:
    """Call `finish` at the end of the process, after what hosts and users have `atexit` call.

    That is where `distributed` closes clusters and clients that a script has left open, and where
    their last spans end. It makes sure that finalizers are called later.

    Parameters
    ----------
    owner
        Lives as long as the process.
    """
    weakref.finalize(owner, finish)


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
