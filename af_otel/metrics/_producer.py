"""The exporter's view of all instruments of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.metrics.export import Metric

    from af_otel.metrics._instruments import Instrument
    from af_otel.metrics._points import Points


class Producer:
    """Gives the exporter what was recorded, on the exporter's thread."""

    scope = "af_otel.metrics"

    def __init__(self, instruments: Mapping[str, Instrument], points: Points) -> None:
        self._instruments = instruments
        self._points = points

    def produce(self) -> Sequence[Metric]:
        """Return what each instrument has come to, and the points since the last time."""
        from af_otel.metrics._data import metrics  # loads the SDK, so not on a user's thread

        return metrics(self._instruments, self._points.take())

    def sent(self) -> None:
        """Forget the points, and look for new exemplars."""
        self._points.sent()
        for instrument in list(self._instruments.values()):
            with instrument.lock:
                for series in instrument.series():
                    series.exemplar = None
