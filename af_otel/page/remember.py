"""A Tempo that is asked once for what does not change any more."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from af_otel.backends.tempo import Tempo

if TYPE_CHECKING:
    import httpx

    from af_otel.backends.spans import Span

SETTLED = 120  # s; a trace without open spans that has been silent for as long has ended
KEPT = 50_000  # spans; some dozens of MB


@dataclass(frozen=True)
class RememberingTempo(Tempo):
    """A page that shows a session asks every few seconds: only for what may have grown."""

    _kept: OrderedDict[str, list[Span]] = field(default_factory=OrderedDict)

    def trace(self, trace_id: str, client: httpx.Client | None = None) -> list[Span]:
        """The spans of a trace in order of their start."""
        known = self._kept.get(trace_id)
        if known is not None:
            return known
        spans = super().trace(trace_id, client)
        if spans and _settled(spans):
            self._kept[trace_id] = spans
            while sum(map(len, list(self._kept.values()))) > KEPT:
                self._kept.popitem(last=False)
        return spans


def _settled(spans: list[Span]) -> bool:
    ended = {span.span_id for span in spans}
    is_open = any(span.pending_for and span.pending_for not in ended for span in spans)
    return not is_open and max(span.end for span in spans) / 1e9 + SETTLED < time.time()
