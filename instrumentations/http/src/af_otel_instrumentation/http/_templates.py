"""Route templates, made from the regular expressions that Tornado matches paths with."""

from __future__ import annotations

import re

from af_otel_semconv.attributes import OTHER

_NAMED = re.compile(r"\?P<(\w+)>")
# Patterns that match whatever nothing else has matched.
_CATCH_ALL = {"", "{}", "/{}"}


def template(pattern: str, base_url: str = "/") -> str:
    """Return a pattern with each group as `{name}` or `{}`, relative to the server's base URL.

    A user's server has the user's name in its base URL.

    Parameters
    ----------
    pattern
        A regular expression.
    base_url
        What all paths of the application begin with.
    """
    source = pattern.removeprefix("^").removesuffix("$")
    base = base_url.rstrip("/")
    for prefix in (base, re.escape(base)):
        if prefix and source.startswith(prefix):
            source = source[len(prefix) :]
            break
    made = _Reader(source).read()
    return OTHER if made in _CATCH_ALL else made


class _Reader:
    """Reads a regular expression from left to right."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0

    def read(self) -> str:
        found: list[str] = []
        while self._at < len(self._source):
            character = self._source[self._at]
            self._at += 1
            part = self._part(character)
            optional = self._skip_quantifier()
            # `/?` is a slash that need not be there.
            found.append("" if optional and part == character else part)
        return "".join(found)

    def _part(self, character: str) -> str:
        if character == "(":
            return self._group()
        if character == "[":
            self._skip_class()
            return "{}"
        if character == "\\":
            escaped = self._source[self._at : self._at + 1]
            self._at += 1
            # `\d` and its like stand for something, `\.` for itself; `\b` and `\Z` for no text.
            return "" if escaped in "AbBZ" else "{}" if escaped.isalnum() else escaped
        if character == ".":
            return "{}" if self._source[self._at : self._at + 1] in ("*", "+") else character
        return "" if character in "^$" else character

    def _group(self) -> str:
        named = _NAMED.match(self._source, self._at)
        asserts = self._source[self._at : self._at + 2] in ("?=", "?!", "?<") and not named
        depth = 1
        while self._at < len(self._source) and depth:
            character = self._source[self._at]
            self._at += 1
            if character == "\\":
                self._at += 1
            elif character == "[":
                self._skip_class()
            else:
                depth += {"(": 1, ")": -1}.get(character, 0)
        if asserts:
            return ""
        return f"{{{named[1]}}}" if named else "{}"

    def _skip_class(self) -> None:
        # The first character may be a bracket that closes nothing.
        self._at += self._source[self._at : self._at + 1] == "^"
        self._at += 1
        while self._at < len(self._source) and self._source[self._at] != "]":
            self._at += 2 if self._source[self._at] == "\\" else 1
        self._at += 1

    def _skip_quantifier(self) -> bool:
        begin = self._at
        while self._source[self._at : self._at + 1] in ("?", "*", "+") and self._at < len(
            self._source
        ):
            self._at += 1
        if self._source[self._at : self._at + 1] == "{":
            self._at = self._source.find("}", self._at) + 1 or len(self._source)
        return self._source[begin : begin + 1] in ("?", "*")
