"""One build of a server at a time on this machine, whichever checkout asks for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INTERVAL = 0.2


@contextlib.contextmanager
def exclusive(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock; while another process has it, `say` who that is.

    The lock is the kernel's: it ends with its holder, however that ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        told = ""
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = path.read_text(encoding="utf-8").strip()
                if holder and holder != told:
                    told = holder
                    say(f"waiting for {holder}")
                time.sleep(INTERVAL)
        file.truncate(0)
        file.write(f"process {os.getpid()}, which builds the same from `{Path.cwd()}`\n")
        file.flush()
        yield
