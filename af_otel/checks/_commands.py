"""Commands that start Python with options that keep injected code out."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# PYTHONPATH leads Python to us, and its module `site` runs us. `-I` stands for `-E`, `-P` and `-s`;
# only `-s` is on every Python that is traced and leaves PYTHONPATH alone.
_REPLACEMENTS = {"I": "s", "E": "", "S": ""}
_PYTHON = re.compile(r"(python|pypy)[\d.]*")
# Letters up to the first one that takes a value, then the rest; or a long option.
_OPTION = re.compile(r"-(?=\S)([^-cmWX\s]*)(.*)", re.DOTALL)
_LONG_WITH_VALUE = "--check-hash-based-pycs"


def isolating_options(command: Sequence[str]) -> list[str]:
    """Return those of a command's options with which Python runs nothing of ours, such as `-I`."""
    return [f"-{letter}" for letter in sorted(_read(command)[0])]


def without_isolation(command: Sequence[str]) -> list[str]:
    """Return the command with `-s` for `-I` and without the other isolating options."""
    return _read(command)[1]


def _read(command: Sequence[str]) -> tuple[set[str], list[str]]:
    found, words = _read_words(command)
    for at, word in enumerate(words):
        # Such as what a shell is to run.
        if re.search(r"\s", word):
            inner, parts = _read_words(re.findall(r"\S+\s*|\s+", word))
            found |= inner
            words[at] = "".join(parts)
    return found, words


def _read_words(words: Sequence[str]) -> tuple[set[str], list[str]]:
    """Return the letters of the isolating options, and the words without them.

    Words may end with white space.
    """
    found: set[str] = set()
    kept: list[str] = []
    in_options = value_follows = False
    for word in words:
        option = _OPTION.fullmatch(word)
        if not in_options or value_follows or option is None:
            in_options = value_follows or _is_python(word)
            value_follows = False
            kept.append(word)
        elif word.startswith("--"):
            value_follows = word.strip() == _LONG_WITH_VALUE
            kept.append(word)
        else:
            flags, rest = option.groups()
            found |= set(flags) & _REPLACEMENTS.keys()
            flags = "".join(_REPLACEMENTS.get(flag, flag) for flag in flags)
            if flags or rest.strip():
                kept.append(f"-{flags}{rest}")
            in_options = not rest.startswith(("c", "m"))
            value_follows = rest.strip() in {"W", "X"}
    return found, kept


def _is_python(word: str) -> bool:
    return _PYTHON.fullmatch(PurePath(word.strip()).name) is not None
