"""The reader that exports metrics, and exports those of worker processes more often."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricReader

from af_otel.runtime import _clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData

    from af_otel.runtime._sender import Sender

# A pool kills its workers when its `with` block is left, often within seconds of its start. What
# they have counted since the last export is then lost.
IN_CHILDREN = 5_000  # milliseconds
# Time after which an export that failed is tried again, if the interval is longer.
RETRY = 5_000  # milliseconds


class Reader(MetricReader):
    """Exports at an interval; in a child of multiprocessing or of a fork, at a shorter one.

    Nothing is exported before something was measured.

    Parameters
    ----------
    sender
        Runs the exports.
    exporter
        Exports what was collected.
    interval, timeout
        In milliseconds.
    short
        Whether the shorter interval applies to this process.
    """

    def __init__(
        self,
        sender: Sender,
        exporter: MetricExporter,
        interval: int,
        timeout: int,
        *,
        short: bool,
    ) -> None:
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,  # noqa: SLF001
            preferred_aggregation=exporter._preferred_aggregation,  # noqa: SLF001
        )
        self._sender = sender
        self._exporter = exporter
        self._interval = min(interval, IN_CHILDREN) if short else interval
        self._timeout = timeout
        self._next: float | None = None

    def watch(self, provider: MeterProvider) -> None:
        """Begin with the first measurement or callback of this provider."""
        consumer: Any = provider._measurement_consumer  # noqa: SLF001
        for name in ("consume_measurement", "register_asynchronous_instrument"):
            setattr(consumer, name, self._first(consumer, name))

    def _first(self, consumer: Any, name: str) -> Callable[[Any], None]:
        original = getattr(consumer, name)

        def call(measured: Any) -> None:
            vars(consumer).pop(name, None)
            original(measured)
            if self._next is None:
                self._sender.wake(self._schedule())

        return call

    def _schedule(self) -> float:
        self._next = _clock.monotonic() + self._interval / 1000
        return self._next

    def due(self) -> float | None:
        """Return when to export next."""
        return self._next

    def run(self) -> None:
        """Export."""
        self._schedule()
        self.collect(timeout_millis=self._timeout)

    def finish(self) -> None:
        """Export for the last time."""
        if self._next is not None:
            self.collect(timeout_millis=self._timeout)
        self._exporter.shutdown()

    def forked(self) -> None:
        """Export soon: a child may end at any time, and without warning."""
        self._interval = min(self._interval, IN_CHILDREN)
        if self._next is not None:
            self._schedule()

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> None:
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            result = self._exporter.export(metrics_data, timeout_millis=timeout_millis, **kwargs)
        finally:
            detach(token)
        if result is not MetricExportResult.SUCCESS:
            self._next = _clock.monotonic() + min(self._interval, RETRY) / 1000

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Do nothing: the sender finishes it."""


def in_child() -> bool:
    """Return whether multiprocessing started this process."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None
