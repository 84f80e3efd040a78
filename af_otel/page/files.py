"""The front end's files, and all of them as one."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_IMPORT = re.compile(r'^import\s+\{[^}]*\}\s+from\s+"\./([\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)


@cache
def static() -> dict[str, tuple[str, bytes]]:
    """Content type and bytes of each file by its name: these are served, and no others."""
    return {
        path.name: (TYPES[path.suffix], path.read_bytes())
        for path in STATIC.iterdir()
        if path.suffix in TYPES
    }


def text(name: str) -> str:
    """One of them."""
    return static()[name][1].decode()


def joined(entry: str) -> str:
    """A module and all that it imports as one script, for a file that can import nothing.

    Our modules import by name and export declarations: what they declare must have different names.
    """
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in parts:
            return
        source = text(name)
        for imported in _IMPORT.findall(source):
            add(imported)
        parts[name] = _EXPORT.sub("", _IMPORT.sub("", source))

    add(entry)
    return "\n".join(parts.values())
