"""Attribute values that stay few and short, though users choose them."""

from __future__ import annotations

import re

from af_otel_semconv.attributes import OTHER

_MAX_LENGTH = 40
# A registry, a path and a tag (https://github.com/distribution/reference); a digest may follow.
_IMAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._\-/:]{0,199})(?:@[A-Za-z0-9+._\-]+:[0-9a-fA-F]+)?")


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


def image(value: object) -> str | None:
    """Return the reference of an image without its digest; None for what is none.

    Users may be free to write what they like.
    """
    found = _IMAGE.fullmatch(value[:400]) if isinstance(value, str) else None
    return None if found is None else found.group(1)


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
