"""The OTLP exporters of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.common.http import Compression, _ExportResult
from opentelemetry.exporter.otlp.json.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation

from af_otel.runtime._transport import StandardResult, StandardTransport

if TYPE_CHECKING:
    from af_otel.runtime._destination import Destination

# Bytes of a request, before compression, that a Collector of ours takes.
LARGEST = 2 * 1024 * 1024

_INSTRUMENTS = (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
# Headers that exporters set themselves.
_STANDARD = {"content-type", "content-encoding", "user-agent"}


def otlp(destination: Destination) -> Any:
    """Return an exporter of OTLP/JSON over HTTP, which tries once."""
    exporter = _exporter(destination)
    client = exporter._client  # noqa: SLF001
    # It would wait between its retries, and all else of the sender's thread with it.
    client._shutdown_event.set()  # noqa: SLF001
    send = client.export

    def export(data: bytes) -> Any:
        if len(data) <= LARGEST:
            return send(data)
        # The Collector would close the connection before all is sent, and its answer be lost.
        client._transport.last = StandardResult(status_code=413)  # noqa: SLF001
        return _ExportResult(success=False, status_code=413, reason=None, error=None)

    client.export = export
    return exporter


def _exporter(destination: Destination) -> Any:
    exporter: Any = OTLPSpanExporter if destination.signal == "traces" else OTLPMetricExporter
    arguments: dict[str, Any] = {
        "timeout": destination.timeout,
        "endpoint": destination.endpoint or None,
        "headers": destination.headers,
        "compression": Compression(destination.compression) if destination.compression else None,
    }
    if not destination.own:
        return exporter(
            **arguments,
            certificate_file=destination.certificate or None,
            client_key_file=destination.client_key or None,
            client_certificate_file=destination.client_certificate or None,
        )
    if destination.signal == "metrics":
        arguments |= {
            "preferred_temporality": dict.fromkeys(_INSTRUMENTS, AggregationTemporality.CUMULATIVE),
            "preferred_aggregation": {Histogram: ExplicitBucketHistogramAggregation()},
        }
    # The exporter's own transport would take the certificates of `OTEL_EXPORTER_OTLP_*`.
    made = exporter(**arguments, _transport=_transport(destination))
    _drop_foreign_headers(made, destination)
    return made


def _transport(destination: Destination) -> StandardTransport:
    certificate, key = destination.client_certificate, destination.client_key
    return StandardTransport(
        verify=destination.certificate or True,
        cert=(certificate, key) if certificate and key else certificate or None,
    )


def _drop_foreign_headers(exporter: Any, destination: Destination) -> None:
    """Remove the headers of `OTEL_EXPORTER_OTLP_HEADERS`, which an exporter adds in any case.

    They are for another server: users have API keys in them, and LangSmith's SDK sets the variable
    itself.
    """
    client = exporter._client  # noqa: SLF001
    allowed = _STANDARD | {name.lower() for name in destination.headers}
    client._headers = {  # noqa: SLF001
        name: value
        for name, value in client._headers.items()  # noqa: SLF001
        if name.lower() in allowed
    }
