"""The reader that exports metrics, and exports those of worker processes more often."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter

# A pool kills its workers when its `with` block is left, often within seconds of its start. What
# they have counted since the last export is then lost.
IN_CHILDREN = 5_000  # milliseconds


class Reader(PeriodicExportingMetricReader):
    """Exports at an interval; in a child of multiprocessing or of a fork, at a shorter one.

    Parameters
    ----------
    exporter
        Exports what was collected.
    interval, timeout
        In milliseconds.
    short
        Whether the shorter interval applies to this process.
    """

    def __init__(
        self, exporter: MetricExporter, interval: int, timeout: int, *, short: bool
    ) -> None:
        super().__init__(
            exporter,
            export_interval_millis=min(interval, IN_CHILDREN) if short else interval,
            export_timeout_millis=timeout,
        )

    def _at_fork_reinit(self) -> None:
        self._export_interval_millis = min(self._export_interval_millis, IN_CHILDREN)
        super()._at_fork_reinit()  # type: ignore[no-untyped-call]


def in_child() -> bool:
    """Return whether multiprocessing started this process."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None
