"""The spans that the Collector let out since a moment, from the file it keeps of them."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from af_otel.backends import spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from af_otel.backends.spans import Span


class SpansFile:
    """Reads what is written from now on; the Collector may begin a new file meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # A file that is rotated away keeps its inode under its new name.
        self._before = {file.stat().st_ino: file.stat().st_size for file in self._files()}
        self._found: list[Span] = []

    def read(self) -> list[Span]:
        """All spans so far."""
        for file in self._files():
            inode = file.stat().st_ino
            with file.open("rb") as lines:
                lines.seek(self._before.get(inode, 0))
                content = lines.read()
            # The last line may still be in the writing.
            whole = content[: content.rfind(b"\n") + 1]
            self._before[inode] = self._before.get(inode, 0) + len(whole)
            for line in whole.splitlines():
                # An attribute may be lists in lists, more than JSON can be read with.
                with contextlib.suppress(RecursionError):
                    self._found += spans.parse(json.loads(line))
        return self._found

    def _files(self) -> Iterator[Path]:
        yield from self._path.parent.glob(f"{self._path.stem}*{self._path.suffix}")
