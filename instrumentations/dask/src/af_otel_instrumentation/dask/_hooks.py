"""Wrap a host's methods on their class, and put back what was there."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger(__package__)
_said: set[str] = set()

# Not the functions themselves, which freezegun replaces in every module that has them.
monotonic = functools.partial(time.monotonic)
wall_time = functools.partial(time.time)


class Hooks:
    """The wrapped methods of one `instrument` call.

    Attributes
    ----------
    active
        False once undone: a wrapper that could not be taken out, because somebody wrapped it, then
        only calls through.
    """

    def __init__(self) -> None:
        self.active = True
        self._undo: list[Callable[[], None]] = []

    def wrap(self, owner: type, name: str, make: Callable[[Any], Any]) -> None:
        """Replace `owner.name` by what `make` makes of it."""
        inherited = name not in vars(owner)
        wrapped = getattr(owner, name)
        wrapper = functools.wraps(wrapped)(make(wrapped))
        setattr(owner, name, wrapper)

        def restore() -> None:
            if vars(owner).get(name) is not wrapper:
                return
            if inherited:
                delattr(owner, name)
            else:
                setattr(owner, name, wrapped)

        self._undo.append(restore)

    def before(self, owner: type, name: str, act: Callable[..., None]) -> None:
        """Call `act` before `owner.name`, with its arguments.

        The method stays a coroutine function if it is one. Its coroutine runs without a frame of
        ours around it, which tracebacks, profiles and stacks of what it calls would show.
        """

        def make(wrapped: Any) -> Any:
            def method(*args: Any, **kwargs: Any) -> Any:
                if self.active:
                    try:
                        act(*args, **kwargs)
                    except Exception:
                        complain(f"{owner.__name__}.{name}")
                return wrapped(*args, **kwargs)

            return _marked(method) if inspect.iscoroutinefunction(wrapped) else method

        self.wrap(owner, name, make)

    def on_undo(self, call: Callable[[], None]) -> None:
        """Call this, too, when the hooks are undone."""
        self._undo.append(call)

    def undo(self) -> None:
        """Restore everything, last first."""
        self.active = False
        while self._undo:
            with harmless("uninstrument"):
                self._undo.pop()()


def _marked(method: Any) -> Any:
    """Mark a function that returns a coroutine as a coroutine function.

    `inspect` has a mark since Python 3.12; `distributed` looks for Tornado's as well, to know
    which handlers to await.
    """
    method.__tornado_coroutine__ = True
    mark = getattr(inspect, "markcoroutinefunction", None)
    return method if mark is None else mark(method)


@contextmanager
def harmless(where: str) -> Iterator[None]:
    """Keep our exceptions from the host; the first at each place is logged."""
    try:
        yield
    except Exception:
        complain(where)


def complain(where: str) -> None:
    """Say in one line what exception is being handled, once per place."""
    if where not in _said:
        _said.add(where)
        with suppress(Exception):  # stderr may be closed, or on a full disk
            error = described(sys.exc_info()[1])
            say(f"telemetry failed in `{where}` ({error}); Dask goes on")


def say(line: str) -> None:
    """Log a line.

    Where no logging is set up, as in a notebook, it goes to the process' own stderr: logging's last
    resort would print it into the cell.
    """
    if _log.hasHandlers():
        _log.warning(line)
    elif sys.__stderr__ is not None:
        print(f"af-otel: {line}", file=sys.__stderr__)


def described(error: BaseException | None) -> str:
    """Return an exception and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    place = f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
