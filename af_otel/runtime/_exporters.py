"""The OTLP exporters of this process."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.common.http import Compression
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

from af_otel.runtime._destination import JSON, PROTOBUF
from af_otel.runtime._log import say

if TYPE_CHECKING:
    from af_otel.runtime._destination import Destination

# Module and class of each signal's exporter, which have the same names for both protocols.
_CLASSES = {
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
}
_PACKAGES = {
    JSON: "opentelemetry.exporter.otlp.json.http",
    PROTOBUF: "opentelemetry.exporter.otlp.proto.http",
}
_TRANSPORTS = {
    JSON: ("opentelemetry.exporter.http.transport._urllib3", "Urllib3HTTPTransport"),
    PROTOBUF: ("opentelemetry.exporter.http.transport._requests", "RequestsHTTPTransport"),
}
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
    """Return an OTLP exporter; JSON's if the environment does not have protobuf's."""
    module, name = _CLASSES[destination.signal]
    protocol = destination.protocol
    if protocol == PROTOBUF:
        with suppress(ImportError):
            exporter = getattr(import_module(f"{_PACKAGES[PROTOBUF]}.{module}"), name)
            return _made(exporter, PROTOBUF, destination)
        say(
            f"the protocol {PROTOBUF} needs opentelemetry-exporter-otlp-proto-http, "
            f"which this environment does not have; {JSON} is used"
        )
    return _made(getattr(import_module(f"{_PACKAGES[JSON]}.{module}"), name), JSON, destination)


def _made(exporter: Any, protocol: str, destination: Destination) -> Any:
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
    made = exporter(**arguments, _transport=_transport(protocol, destination))
    _drop_foreign_headers(made, destination)
    return made


def _transport(protocol: str, destination: Destination) -> Any:
    module, name = _TRANSPORTS[protocol]
    certificate, key = destination.client_certificate, destination.client_key
    return getattr(import_module(module), name)(
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
