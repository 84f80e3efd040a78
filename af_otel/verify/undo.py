"""What was made, and how it is taken away again: all of it, whatever fails meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

T = TypeVar("T")


class Undo:
    """A stack that goes on after an error, and then raises the first."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], object]]] = []

    def add(self, what: str, undo: Callable[[], object]) -> None:
        """Call `undo` at the end; `what` is told then."""
        self._steps.append((what, undo))

    def enter(self, context: AbstractContextManager[T]) -> T:
        """Enter a context that is left at the end, of which nothing is told."""
        made = context.__enter__()
        self.add("", lambda: context.__exit__(None, None, None))
        return made

    def all(self) -> list[str]:
        """Undo everything, the last first; what was undone, in words."""
        told: list[str] = []
        failed: list[tuple[str, AfOtelError]] = []
        while self._steps:
            what, undo = self._steps.pop()
            try:
                undo()
            except AfOtelError as error:
                failed.append((what, error))
            else:
                told += [what] if what else []
        if failed:
            raise AfOtelError(
                f"Not everything is removed: {', '.join(what for what, _ in failed)} may be left",
                where="; ".join(f"{error.what}: {error.where}".rstrip(": ") for _, error in failed),
                hint=failed[0][1].hint or "the next `af-otel verify` removes it",
            )
        return told
