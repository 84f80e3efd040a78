"""One verification of a facility at a time: they share one user."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_POLL = 0.5  # s


@contextlib.contextmanager
def alone(what: str, left: Callable[[], float], said: Callable[[str], None]) -> Iterator[None]:
    """Wait for whoever else of this machine is at it; the kernel ends the claim of a killed one.

    Parameters
    ----------
    left
        The seconds to wait; raises when there are none.
    """
    digest = hashlib.sha256(what.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"af-otel-verify-{os.getuid()}-{digest}.lock"
    # Never through a link, and never somebody else's: the directory is everybody's.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                said("waits for another verification of this facility")
                left()
                time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)
