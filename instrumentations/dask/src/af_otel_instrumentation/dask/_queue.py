"""Hand what an event loop notes to a thread that has time for it."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.dask._hooks import complain, monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

# Notes kept at most, about 10 MB: seconds of the busiest scheduler there is.
LIMIT = 10_000
# Seconds that the exit of the process waits at most for notes to be worked off.
EXIT_TIMEOUT = 5.0
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
        For the loop to append to, guarded by `LIMIT` and `closed`; `wake` afterwards if `asleep`.
    closed
        Whether nothing more may be appended.
    """

    def __init__(self, consume: Callable[[Any], None], name: str) -> None:
        self.notes: deque[Any] = deque()
        self.asleep = True
        self.closed = False
        self._consume = consume
        self._name = name
        self._awake = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, note: Any) -> None:
        """Append a note that must not get lost, whatever the limit; drop it after the end."""
        if self.closed:
            return
        self.notes.append(note)
        if self.asleep:
            self.wake()

    def wake(self) -> None:
        """Have the notes worked off soon."""
        self.asleep = False
        if self._thread is None:
            _finish_at_exit(self)
            thread: Any = threading.Thread(target=self._run, name=self._name, daemon=True)
            # pydevd (debugpy, PyCharm) leaves threads with these alone.
            thread.pydev_do_not_trace = thread.is_pydev_daemon_thread = True
            try:
                thread.start()
            except RuntimeError:  # the interpreter is on its way out; `finish` is called soon
                return
            self._thread = thread
        self._awake.set()

    def close(self) -> None:
        """Have what is left worked off now, and the thread end. Wait for neither."""
        self.closed = True
        self._ending.set()
        self._awake.set()

    def finish(self, timeout: float) -> None:
        """Close, and wait for the thread to end; not on an event loop."""
        self.close()
        if self._thread is None:
            self._work_off()
        else:
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._awake.wait()
            self._awake.clear()
            self._ending.wait(_GATHER)
            self._work_off()
            # Said before looking once more: a note that comes in between is seen here or wakes us.
            self.asleep = True
            if self.notes:
                self.asleep = False
                self._awake.set()
            elif self.closed:
                _unfinished.discard(self)
                return

    def _work_off(self) -> None:
        notes = self.notes
        while notes:
            for _ in range(min(_BATCH, len(notes))):
                try:
                    self._consume(notes.popleft())
                except Exception:  # noqa: PERF203
                    complain("scheduler notes")
            if notes:
                time.sleep(_BREATH)


_unfinished: set[Queue] = set()
_exit: weakref.finalize[..., type[Queue]] | None = None


def _finish_at_exit(queue: Queue) -> None:
    """Finish the queue when the interpreter exits.

    `distributed` closes clusters in `atexit`, before finalizers are called. The last finalizer made
    is the first one called: the SDK, which was asked for a tracer before, still takes spans.
    """
    global _exit  # noqa: PLW0603
    _unfinished.add(queue)
    if _exit is None:
        _exit = weakref.finalize(Queue, _finish_all)


def _finish_all() -> None:
    until = monotonic() + EXIT_TIMEOUT
    queues = list(_unfinished)
    for queue in queues:
        queue.close()
    for queue in queues:
        queue.finish(max(0.0, until - monotonic()))
