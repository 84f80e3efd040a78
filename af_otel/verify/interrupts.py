"""Ctrl-C and SIGTERM: the first ends the visit, and none disturbs the clean-up after it."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def held_off() -> Iterator[None]:
    """Keep interrupts out; one that came meanwhile has its effect afterwards."""
    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's: nothing can interrupt this one.
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in came[:1]:
            signal.raise_signal(caught)
