"""Attribute values that stay few and short, though users choose them."""

from __future__ import annotations

import re

from af_otel_semconv.attributes import OTHER

_MAX_LENGTH = 40


def slug(value: object) -> str | None:
    """Return lower case words and digits joined by `-`; None when nothing is left of `value`.

    Forms give lists, whose first item counts.
    """
    if isinstance(value, list):
        value = value[0] if value else None
    if not isinstance(value, str):
        return None
    # Cut first: the body of a request may be megabytes.
    words = re.sub(r"[^a-z0-9]+", "-", value[: 4 * _MAX_LENGTH].lower())
    return words[:_MAX_LENGTH].strip("-") or None


class Bounded:
    """The first values pass, as many as `limit`; whatever else comes is `other`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """Return `value` or `other`."""
        if value not in self._known:
            if len(self._known) >= self._limit:
                return OTHER
            self._known.add(value)
        return value
