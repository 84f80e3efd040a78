"""The queue between an event loop and the thread behind it."""

from __future__ import annotations

import threading
import time

from af_otel_instrumentation.dask import _queue
from af_otel_instrumentation.dask._queue import Queue


def test_notes_are_worked_off_in_order(monkeypatch):
    """All of them, also those that come while the thread falls asleep."""
    monkeypatch.setattr(_queue, "_GATHER", 0.0)
    seen = []
    queue = Queue(seen.append, "test-queue")
    for i in range(20_000):
        queue.put(i)
        if i % 500 == 0:
            time.sleep(0.001)
    deadline = time.monotonic() + 30
    while len(seen) < 20_000 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen == list(range(20_000))
    queue.close(5)


def test_there_is_no_thread_before_the_first_note():
    """And none after the end."""
    queue = Queue(print, "test-queue-idle")
    assert "test-queue-idle" not in {thread.name for thread in threading.enumerate()}
    queue.close(1)
    queue = Queue(lambda _: None, "test-queue-used")
    queue.put(1)
    assert "test-queue-used" in {thread.name for thread in threading.enumerate()}
    queue.close(5)
    assert "test-queue-used" not in {thread.name for thread in threading.enumerate()}


def test_closing_works_off_what_is_left():
    """Without waiting for the next interval."""
    seen = []
    queue = Queue(seen.append, "test-queue")
    for i in range(5000):
        queue.put(i)
    queue.close(10)
    assert len(seen) == 5000


def test_closing_is_bounded():
    """A consumer that hangs does not hang the scheduler."""
    hang = threading.Event()
    queue = Queue(lambda _: hang.wait(30), "test-queue")
    queue.put(1)
    started = time.monotonic()
    queue.close(0.2)
    assert time.monotonic() - started < 20
    hang.set()


def test_a_note_that_fails_does_not_stop_the_others():
    """One broken note is one lost note."""
    seen = []

    def consume(note):
        if note == 1:
            raise ValueError
        seen.append(note)

    queue = Queue(consume, "test-queue")
    for i in range(3):
        queue.put(i)
    queue.close(5)
    assert seen == [0, 2]


def test_notes_after_the_end_are_dropped():
    """A scheduler that is closing still has transitions."""
    seen = []
    queue = Queue(seen.append, "test-queue")
    queue.put(1)
    queue.close(5)
    for i in range(100):
        queue.put(i)
    assert seen == [1]
    assert len(queue.notes) == 0
