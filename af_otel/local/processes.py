"""Processes of a facility: started so that they cannot outlive it, and found wherever they went."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

MARK = "AF_OTEL_STATE"  # In the environment of every process of a facility: its state directory.
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def start(
    command: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start a service; it gets SIGTERM when the thread that called this ends, however it ends."""
    parent = os.getpid()

    def die_with_parent() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # It was gone before the kernel knew of our wish.
                os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the supervisor, which stops them in order.
            preexec_fn=die_with_parent,  # noqa: PLW1509 - the supervisor has one thread
        )


def ended(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def find(mark: str) -> list[psutil.Process]:
    """All processes of the facility in the state directory `mark`, but this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def sweep(mark: str, patience: float, seen: Callable[[int], None] = lambda _: None) -> int:
    """End whatever is left of a facility, and say how many processes that were.

    They get `patience` seconds after SIGTERM. A process may start another while we look, so it
    looks until it finds none.
    """
    swept: set[int] = set()
    for how, wait in ((signal.SIGTERM, patience), *[(signal.SIGKILL, 1.0)] * 5):
        left = find(mark)
        if not left:
            break
        swept.update(process.pid for process in left)
        seen(len(left))
        send(how, left)
        psutil.wait_procs(left, timeout=wait)
    return len(swept)


def send(how: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    """Send a signal to those that are still there."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(how)


def alive(pid: int) -> bool:
    """Whether there is such a process, other than as an entry that nobody has read."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def runs(pid: int, mark: str) -> bool:
    """Return whether `pid` is a running process of the facility in the state directory `mark`."""
    try:
        return alive(pid) and psutil.Process(pid).environ().get(MARK) == mark
    except psutil.Error:
        return False


def age(pid: int) -> float:
    """Return for how many seconds a process runs, also where the clock was set meanwhile."""
    try:
        return max(0.0, time.time() - psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def memory(pid: int) -> int:
    """Bytes that a process and its descendants hold in memory."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
    return total
