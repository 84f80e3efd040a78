"""What an operator may choose of a local facility."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class TraceLimits:
    """How long traces are kept, in hours, and how many bytes they may take on the disk.

    A Tempo has no limit for the bytes.
    """

    hours: int = 30 * 24
    disk: int = 4_000_000_000


@dataclass(frozen=True)
class Options:
    """The options of `af-otel up`; `ports` are those asked for, by what listens on them."""

    ports: Mapping[str, int] = field(default_factory=dict)
    traces: TraceLimits = field(default_factory=TraceLimits)

    def as_json(self) -> str:
        """Return it as an argument for the process of a detached facility."""
        return json.dumps({"ports": dict(self.ports), "traces": dataclasses.asdict(self.traces)})

    @classmethod
    def from_json(cls, text: str) -> Options:
        """Read what `as_json` wrote."""
        content = json.loads(text)
        return cls(content["ports"], TraceLimits(**content["traces"]))
