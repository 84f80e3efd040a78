"""The queue between an event loop and the thread behind it."""

from __future__ import annotations

import subprocess
import sys
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
    queue.finish(30)


def test_there_is_no_thread_before_the_first_note():
    """And none after the end."""
    queue = Queue(print, "test-queue-idle")
    assert "test-queue-idle" not in {thread.name for thread in threading.enumerate()}
    queue.finish(30)
    queue = Queue(lambda _: None, "test-queue-used")
    queue.put(1)
    assert "test-queue-used" in {thread.name for thread in threading.enumerate()}
    queue.finish(30)
    assert "test-queue-used" not in {thread.name for thread in threading.enumerate()}


def test_closing_works_off_what_is_left():
    """Without waiting for the next interval."""
    seen = []
    queue = Queue(seen.append, "test-queue")
    for i in range(5000):
        queue.put(i)
    queue.finish(30)
    assert len(seen) == 5000


def test_closing_is_bounded():
    """A consumer that hangs does not hang the scheduler."""
    hang = threading.Event()
    worked_off = []
    queue = Queue(lambda _: worked_off.append(hang.wait(30)), "test-queue")
    queue.put(1)
    queue.finish(0.2)
    assert not worked_off
    hang.set()
    queue.finish(30)
    assert worked_off == [True]


def test_closing_waits_for_nothing():
    """An event loop closes it; what is left is worked off behind it, and the thread ends."""
    closed = threading.Event()
    seen = []
    queue = Queue(lambda note: seen.append((note, closed.wait(5))), "test-queue-closing")
    for i in range(3):
        queue.put(i)
    queue.close()
    closed.set()
    queue.finish(30)
    assert seen == [(0, True), (1, True), (2, True)]
    assert "test-queue-closing" not in {thread.name for thread in threading.enumerate()}


def test_what_is_left_at_the_end_of_the_process_is_worked_off():
    """Also where no thread can be started any more, as in `atexit` from Python 3.12 on."""
    code = """
import atexit, os, threading
from af_otel_instrumentation.dask._queue import Queue
def consume(note):
    os.write(1, note.encode() + b" ")
running, late = Queue(consume, "running"), Queue(consume, "late")
running.put("running")
def refuse(*args):
    raise RuntimeError("can't create new thread at interpreter shutdown")
def note():
    threading.Thread.start = refuse
    late.put("late")
    late.put("later")
atexit.register(note)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["late", "later", "running"]
    assert not done.stderr


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
    queue.finish(30)
    assert seen == [0, 2]


def test_notes_after_the_end_are_dropped():
    """A scheduler that is closing still has transitions."""
    seen = []
    queue = Queue(seen.append, "test-queue")
    queue.put(1)
    queue.finish(30)
    for i in range(100):
        queue.put(i)
    assert seen == [1]
    assert len(queue.notes) == 0
