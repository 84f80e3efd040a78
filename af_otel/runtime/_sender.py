"""The one thread of telemetry, which runs while there is something to send.

Debuggers, leak checks and users who list threads do not see it. It ends when no job has anything to
do, and before a fork if it waits, so that a child is not made by a process with threads of ours.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Protocol

from af_otel.runtime import _clock, _threads

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds that the thread waits for more before it ends.
LINGER = 1.0
# Seconds that a fork waits for an idle thread to end.
_PARK = 0.2


class Job(Protocol):
    """Something that the thread does when it is due."""

    def due(self) -> float | None:
        """Return when to run next, by the monotonic clock; None while there is nothing to do.

        Never raises. A run, also one that raises, must put it off.
        """

    def run(self) -> None:
        """Do what is due. Runs on the thread only."""

    def finish(self) -> None:
        """Do what is left, as the process ends. Runs once, on the thread or instead of it."""

    def forked(self) -> None:
        """Forget what the parent will do; called in a forked child before its own code runs."""


class Sender:
    """Runs jobs on one hidden thread, which starts when `wake` is called.

    `wake` takes no lock that code of this class holds while it waits, so it may be called from
    signal handlers and finalizers.
    """

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self._pauses: list[Callable[[], None]] = []
        self._ending = False
        self._stays = False
        self._reset()
        os.register_at_fork(
            before=self._park, after_in_parent=self._resume, after_in_child=self._forked
        )

    def _reset(self) -> None:
        self._thread: _Hidden | None = None
        self._idle = False
        self._parked = False
        self._until = inf  # when the thread looks again; not known while it is at work
        # A semaphore of one: released to wake the thread. Unlike an Event, it has no lock around
        # it that a signal handler could find taken.
        self._signal = threading.Lock()
        self._signal.acquire()
        self._starting = threading.Lock()
        self._done = threading.Event()

    def add(self, job: Job) -> None:
        """Run this job, too, after those added before it."""
        self._jobs = [*self._jobs, job]

    def on_pause(self, call: Callable[[], None]) -> None:
        """Call this, too, on the thread, when there is nothing to do for a while."""
        self._pauses = [*self._pauses, call]

    def wake(self, at: float = 0.0) -> None:
        """Look at what is due by the time `at`, on a thread that is started if there is none."""
        if self._thread is None and not self._parked and not self._done.is_set():
            self._start()
        elif at >= self._until:
            return
        with suppress(RuntimeError):  # it has been woken and has not looked yet
            self._signal.release()

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # another thread, or the code that a signal has interrupted, is about to
        try:
            if self._thread is None:
                _leave_out_hidden()
                thread = self._thread = _Hidden(self._work)
                try:
                    _threads.start(thread)
                except RuntimeError:  # the interpreter is on its way out
                    self._thread = None
        finally:
            self._starting.release()

    def stay(self) -> None:
        """Keep the thread from now on: later, the interpreter may refuse to start one."""
        self._stays = True
        self._wake_if_due()

    def finish(self, timeout: float) -> None:
        """Finish all jobs, within `timeout` seconds where a thread can be had for it."""
        if self._ending:
            return
        self._ending = True
        self.wake()
        if self._thread is not None:
            self._done.wait(timeout)
        else:
            self._finish()
            self._done.set()

    def _finish(self) -> None:
        for job in self._jobs:
            with suppress(Exception):
                job.finish()

    def _work(self) -> None:
        idle_since = None
        while not self._ending and not self._parked:
            self._until = inf
            now = _clock.monotonic()
            due = self._due()
            if due is not None and due <= now:
                idle_since = None
                self._run(now)
                continue
            if due is not None:
                idle_since = None
            elif idle_since is None:
                idle_since = now
            elif now - idle_since >= LINGER and not self._stays:
                self._pause()
                break
            wait = LINGER if due is None else due - now
            if wait > LINGER:
                self._pause()
            self._until = now + wait
            self._idle = True
            self._signal.acquire(timeout=min(wait, threading.TIMEOUT_MAX))
            self._idle = False
        if self._ending:
            self._finish()
            self._done.set()
            return
        self._thread = None
        if not self._parked:
            self._wake_if_due()  # by someone who still saw a thread

    def _due(self) -> float | None:
        """Return when the first job is due."""
        due = [at for job in self._jobs if (at := job.due()) is not None]
        return min(due, default=None)

    def _run(self, now: float) -> None:
        for job in self._jobs:
            with suppress(Exception):
                at = job.due()
                if at is not None and at <= now and not self._parked:
                    job.run()

    def _pause(self) -> None:
        for call in self._pauses:
            with suppress(Exception):
                call()

    def _park(self) -> None:
        """End a thread that only waits: a fork with threads is warned of, and takes their locks."""
        thread = self._thread
        if thread is None or not self._idle:
            return
        self._parked = True
        with suppress(RuntimeError):
            self._signal.release()
        thread.ended.wait(_PARK)

    def _resume(self) -> None:
        self._parked = False
        self._wake_if_due()

    def _forked(self) -> None:
        self._reset()
        self._ending = self._stays = False
        for job in self._jobs:
            with suppress(Exception):
                job.forked()
        self._wake_if_due()

    def _wake_if_due(self) -> None:
        if self._due() is not None:
            self.wake()


# The name of hidden threads begins so; an instrumentation may have one, too.
_NAME = "af-otel"
# Marks the function that stands for `threading.enumerate`.
_hiding = "__af_otel__"


class _Hidden(threading.Thread):
    """A daemon thread that `threading` does not list and debuggers do not trace."""

    # pydevd (debugpy, PyCharm) leaves threads with these alone.
    pydev_do_not_trace = True
    is_pydev_daemon_thread = True

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name=_NAME, daemon=True)
        self._work = work
        self.ended = threading.Event()

    def run(self) -> None:
        # `threading.settrace` and `setprofile` have set these for all new threads.
        sys.settrace(None)
        sys.setprofile(None)
        try:
            self._work()
        finally:
            self.ended.set()


def _leave_out_hidden() -> None:
    """Have `threading.enumerate` and `active_count` leave hidden threads out.

    They stay in the module's own records: a debugger that misses one there makes up a thread for
    it, and so does `threading.current_thread()`, which logging calls.
    """
    listed = threading.enumerate
    if _hiding in vars(listed):
        return

    @functools.wraps(listed)
    def enumerate_() -> list[threading.Thread]:
        return [thread for thread in listed() if not thread.name.startswith(_NAME)]

    @functools.wraps(threading.active_count)
    def active_count() -> int:
        return len(enumerate_())

    setattr(enumerate_, _hiding, True)
    threading.enumerate, threading.active_count = enumerate_, active_count
