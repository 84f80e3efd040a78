"""Methods wrapped on their classes, and the way back."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)


class _Hook(NamedTuple):
    owner: type
    name: str
    original: Any
    ours: Any


class Hooks:
    """What was wrapped, so that it can be unwrapped."""

    def __init__(self) -> None:
        self._hooks: list[_Hook] = []

    def wrap(self, owner: type, name: str, make: Callable[[Any], Any]) -> None:
        """Replace a method that `owner` itself defines by what `make` makes of it."""
        original = vars(owner).get(name)
        if original is None:
            _log.warning("%s has no method `%s`; it is not measured", owner.__name__, name)
            return
        ours = functools.wraps(original)(make(original))
        setattr(owner, name, ours)
        self._hooks.append(_Hook(owner, name, original, ours))

    def unwrap(self) -> None:
        """Restore every method, except where someone has wrapped ours since."""
        while self._hooks:
            hook = self._hooks.pop()
            if vars(hook.owner).get(hook.name) is hook.ours:
                setattr(hook.owner, hook.name, hook.original)
