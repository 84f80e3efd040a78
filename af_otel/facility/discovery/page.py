"""Lines of YAML with comments, as a person would write them."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

_COLUMN = 32  # where the comments begin that fit beside their line
_WIDTH = 100


class Page:
    """Lines of YAML with their comments; remembers what is left for a person to fill in."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.to_do: list[str] = []

    def comment(self, text: str, indent: int = 0) -> None:
        """A comment of its own."""
        start = " " * indent + "# "
        # What a cluster's objects say is a comment only as long as it has no line of its own.
        self.lines += textwrap.wrap(
            " ".join(text.split()),
            _WIDTH,
            initial_indent=start,
            subsequent_indent=start,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def field(
        self, name: str, value: Any, about: str = "", *, indent: int = 0, off: bool = False
    ) -> None:
        """A field, with a comment beside it; `off` for one to be filled in."""
        start = f"{' ' * indent}{'# ' if off else ''}{name}:"
        line = f"{start} {inline(value)}"
        if len(line) > _WIDTH and isinstance(value, (dict, list)):
            if about:
                self.comment(about, indent)
            entry = name.lstrip().startswith("- ")
            below = len(start) - len(start.lstrip()) + (4 if entry else 2)
            self.lines += [start, *block(value, below)]
            return
        about = " ".join(about.split())
        if about and len(line) < _COLUMN:
            line = f"{line:<{_COLUMN - 1}}"
        beside = f"{line} # {about}" if about else line
        if len(beside) > _WIDTH:
            self.comment(about, indent)
            beside = line.rstrip()
        self.lines.append(beside)

    def section(self, name: str, about: str = "") -> None:
        """A section's head, after an empty line and what was found."""
        self.lines.append("")
        if about:
            self.comment(about)
        self.lines.append(f"{name}:")

    def example(self, about: str, fields: dict[str, Any], *, indent: int = 0) -> None:
        """Fields to be filled in, as comments below what is said about them."""
        self.comment(about, indent)
        for line in block(fields):
            self.lines.append(f"{' ' * indent}# {line}")

    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines) + "\n"


def block(fields: dict[str, Any] | list[Any], indent: int = 0) -> list[str]:
    """Return fields, or entries of a list, one a line; short sections stay in one line."""
    if isinstance(fields, list):
        return [f"{' ' * indent}- {inline(item)}" for item in fields]
    lines = []
    for name, value in fields.items():
        start = f"{' ' * indent}{name}:"
        line = f"{start} {inline(value)}"
        if isinstance(value, dict) and (
            len(line) > _WIDTH or any(isinstance(item, dict) for item in value.values())
        ):
            lines += [start, *block(value, indent + 2)]
        else:
            lines.append(line)
    return lines


def inline(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, (dict, list, tuple)):
        return _within(value)
    text = yaml.safe_dump(value, allow_unicode=True, width=10_000)
    return _quoted(text.removesuffix("\n").removesuffix("\n..."))


def _within(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_within(key)}: {_within(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_within, value)) + "]"
    # Within brackets more has to be quoted.
    text = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=10_000)
    return _quoted(text.strip()[1:-1])


def _quoted(word: str) -> str:
    plain = word.startswith("'") and not {'"', "\\", "'"} & set(word[1:-1])
    return f'"{word[1:-1]}"' if plain else word
