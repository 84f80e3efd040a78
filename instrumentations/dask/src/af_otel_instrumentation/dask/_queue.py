"""Hand what an event loop notes to a thread that has time for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.dask._hooks import complain

if TYPE_CHECKING:
    from collections.abc import Callable

# Notes kept at most, about 10 MB: seconds of the busiest scheduler there is.
LIMIT = 10_000
# The thread sleeps this long after it was woken: a busy loop pays for one wake-up in many notes.
_GATHER = 0.2
# Notes worked off in one go: the loop waits for the interpreter no longer than these take.
_BATCH = 100
_BREATH = 0.001


class Queue:
    """Notes of one event loop, worked off in order by one daemon thread.

    The thread starts with the first note and sleeps while there are none.

    Attributes
    ----------
    notes
        For the loop to append to, guarded by `LIMIT`; `wake` afterwards if `asleep`.
    """

    def __init__(self, consume: Callable[[Any], None], name: str) -> None:
        self.notes: deque[Any] = deque()
        self.asleep = True
        self._consume = consume
        self._name = name
        self._awake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def put(self, note: Any) -> None:
        """Append a note that must not get lost, whatever the limit."""
        self.notes.append(note)
        if self.asleep:
            self.wake()

    def wake(self) -> None:
        """Have the notes worked off soon; after the end, drop them."""
        if self._closing:
            self.notes.clear()
            return
        self.asleep = False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._awake.set()

    def close(self, timeout: float) -> None:
        """Work off what is left, within a bound, and end the thread."""
        self._closing = True
        self._awake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._awake.wait()
            self._awake.clear()
            if not self._closing:
                time.sleep(_GATHER)
            self._work_off()
            # Said before looking once more: a note that comes in between is seen here or wakes us.
            self.asleep = True
            if self.notes:
                self.asleep = False
                self._awake.set()
            elif self._closing:
                return

    def _work_off(self) -> None:
        notes = self.notes
        while notes:
            for _ in range(min(_BATCH, len(notes))):
                try:
                    self._consume(notes.popleft())
                except Exception:  # noqa: PERF203
                    complain("scheduler notes")
            if notes and not self._closing:
                time.sleep(_BREATH)
