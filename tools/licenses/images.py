"""References to denied container images in the repository's text files."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from licenses.policy import Images

# A registry with an optional path. A source repository on GitHub is not an image.
PREFIX = re.compile(
    r"(?!github\.com/)(?:(?:[\w-]+\.)+[\w-]+|localhost)(?::\d+)?/(?:[\w.-]+/)*|library/"
)


def findings(root: Path, policy: Images) -> Iterator[str]:
    """Yield a one-line error for each reference to a denied image."""
    patterns = {
        re.compile(rf"\b(?:{denied})(?![\w/-]|\.\w)(?:[:@][\w.:-]+)?"): licence
        for denied, licence in policy.denied.items()
    }
    for name in _files(root):
        if any(fnmatch(name, fixture) for fixture in policy.fixtures):
            continue
        try:
            text = (root / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # binary, deleted but still in git's index, or a link to a directory
        for pattern, licence in patterns.items():
            for match in pattern.finditer(text):
                prefix = _prefix(text, match.start())
                if not prefix or PREFIX.fullmatch(prefix):
                    line = text.count("\n", 0, match.start()) + 1
                    yield (
                        f"Container image `{prefix}{match.group()}` is under `{licence}`, which is "
                        f"not allowed; named in `{name}`, line {line}; use another image, or let "
                        "the facility choose one"
                    )


def _prefix(text: str, end: int) -> str:
    """Return the characters of an image reference that directly precede a position."""
    start = end
    while start and (text[start - 1].isalnum() or text[start - 1] in "_./:-"):
        start -= 1
    return text[start:end]


def _files(root: Path) -> list[str]:
    """Return all files that git tracks or does not ignore."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted(set(listing.split("\0")) - {""})
