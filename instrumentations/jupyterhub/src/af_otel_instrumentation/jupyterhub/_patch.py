"""Wrap methods of the host's classes, and keep our own failures out of its way."""

from __future__ import annotations

import functools
import inspect
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class _Patch(NamedTuple):
    owner: type
    name: str
    original: Callable[..., Any]
    replacement: Callable[..., Any]


class Patches:
    """Methods that are wrapped; `around` gets the original, then what the host passed."""

    def __init__(self) -> None:
        self._patches: list[_Patch] = []
        self._active = True

    def wrap(self, owner: type, name: str, around: Callable[..., Any]) -> None:
        """Put `around` about `owner.name`, as a coroutine function if `around` is one."""
        original = owner.__dict__.get(name)
        if original is None:
            _log.warning("%s has no method `%s`; what it does is untraced", owner.__name__, name)
            return
        if inspect.iscoroutinefunction(around):

            @functools.wraps(original)
            async def replacement(*args: Any, **kwargs: Any) -> Any:
                if not self._active:
                    return await original(*args, **kwargs)
                return await around(original, *args, **kwargs)

        else:

            @functools.wraps(original)
            def replacement(*args: Any, **kwargs: Any) -> Any:
                if not self._active:
                    return original(*args, **kwargs)
                return around(original, *args, **kwargs)

        setattr(owner, name, replacement)
        self._patches.append(_Patch(owner, name, original, replacement))

    def remove(self) -> None:
        """Put the originals back; a method that was wrapped again since only passes through."""
        self._active = False
        while self._patches:
            patch = self._patches.pop()
            if patch.owner.__dict__.get(patch.name) is patch.replacement:
                setattr(patch.owner, patch.name, patch.original)


def quiet(function: Callable[P, T]) -> Callable[P, T | None]:
    """Return None where `function` fails, and say so the first time."""
    said = False

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T | None:
        nonlocal said
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if not said:
                said = True
                _log.warning(
                    "Telemetry failed in `%s` (%s: %s); the hub is unharmed, this is said once",
                    function.__qualname__,
                    type(error).__name__,
                    error,
                )
            return None

    return guarded
