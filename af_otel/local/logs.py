"""Read the services' logs: one, or all in the order of time."""

from __future__ import annotations

import heapq
import os
import re
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BLOCK = 64 * 1024
# Every service writes ISO 8601, each with another opinion on the T, the fraction and the zone.
STAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,6})\d*)?\s?(Z|[+-]\d\d:?\d\d)?"
)


class Line(NamedTuple):
    """One line of one service; without a time of its own it has that of the line before."""

    when: float
    service: str
    text: str


def tail(path: Path, count: int) -> list[str]:
    """The last `count` lines of a file; none if it is not there."""
    if count <= 0:
        return []
    found = b""
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            while position and found.count(b"\n") <= count:
                step = min(BLOCK, position)
                position = file.seek(position - step)
                found = file.read(step) + found
    except OSError:
        return []
    return found.decode(errors="replace").splitlines()[-count:]


def merged(logs: Mapping[str, Path], count: int) -> list[Line]:
    """The last `count` lines of all logs together, in the order of time."""
    each = (_stamped(name, tail(path, count)) for name, path in logs.items())
    return list(heapq.merge(*each, key=lambda line: line.when))[-count:]


def follow(logs: Mapping[str, Path], pause: float = 0.3) -> Iterator[Line]:
    """Every line written from now on, for ever; a log begun anew is read from its start."""
    positions = {name: _size(path) for name, path in logs.items()}
    rest = dict.fromkeys(logs, b"")
    while True:
        for name, path in logs.items():
            size = _size(path)
            if size < positions[name]:
                positions[name], rest[name] = 0, b""
            if size == positions[name]:
                continue
            with path.open("rb") as file:
                file.seek(positions[name])
                content = rest[name] + file.read(size - positions[name])
            positions[name] = size
            *lines, rest[name] = content.split(b"\n")
            yield from _stamped(name, [line.decode(errors="replace") for line in lines])
        time.sleep(pause)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _stamped(service: str, lines: list[str]) -> Iterator[Line]:
    when = 0.0
    for line in lines:
        # Later lines of a traceback have no time and belong to the first.
        when = max(when, _time(line) or 0.0)
        yield Line(when, service, line)


def _time(line: str) -> float | None:
    match = STAMP.search(line, 0, 80)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    moment = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0').ljust(6, '0')}")
    if zone == "Z":
        moment = moment.replace(tzinfo=timezone.utc)
    elif zone:
        moment = datetime.fromisoformat(f"{moment.isoformat()}{zone[:3]}:{zone[-2:]}")
    return moment.timestamp()
