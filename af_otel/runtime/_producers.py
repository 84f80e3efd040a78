"""Whoever has metrics that are made outside of the SDK; the reader asks them when it sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.metrics.export import Metric


class Producer(Protocol):
    """What has metrics of its own to send."""

    scope: str

    def produce(self) -> Sequence[Metric]:
        """Return what there is to send now, on the exporter's thread."""

    def sent(self) -> None:
        """What `produce` returned last has been taken."""


# For as long as the process runs.
known: list[Producer] = []
