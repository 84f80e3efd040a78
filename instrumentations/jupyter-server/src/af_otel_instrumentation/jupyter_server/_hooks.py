"""Methods wrapped on their classes, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Hooks:
    """What was wrapped, so that it can be unwrapped."""

    def __init__(self) -> None:
        self._wrapped: list[tuple[type, str, Any, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._wrapped)

    def wrap(self, owner: type, name: str, make: Callable[[Any], Any]) -> None:
        """Replace a method that `owner` itself defines by what `make` makes of it."""
        original = vars(owner)[name]
        ours = make(original)
        setattr(owner, name, ours)
        self._wrapped.append((owner, name, original, ours))

    def unwrap(self) -> None:
        """Restore every method, except where someone has wrapped ours since."""
        while self._wrapped:
            owner, name, original, ours = self._wrapped.pop()
            if vars(owner).get(name) is ours:
                setattr(owner, name, original)
