"""A trace store in the cluster: how spans get in, and where they are looked up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from af_otel.facility.discovery.look import address
from af_otel.facility.discovery.servers import port_to, rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from af_otel.facility.discovery.look import Object

    Transport = Literal["http", "grpc"]

_PROTOCOLS: tuple[tuple[Transport, int, tuple[str, ...]], ...] = (
    ("http", 4318, ("otlp-http", "http-otlp")),
    ("grpc", 4317, ("otlp-grpc", "grpc-otlp")),
)


@dataclass
class TraceStore:
    """A Tempo or a Jaeger."""

    kind: Literal["tempo", "jaeger"]
    what: str
    endpoint: str = ""
    """Where it accepts OTLP; empty if it does not."""
    protocol: Transport = "http"
    query: str = ""
    """Its HTTP API, with the base path; empty if it is not known."""
    notes: list[str] = field(default_factory=list)


def preference(store: TraceStore) -> tuple[bool, bool, bool]:
    """Return a key that sorts stores by how usable they are, the best first."""
    return not store.endpoint, not store.query, bool(store.notes)


def otlp(
    services: Iterable[tuple[Object, Sequence[Mapping[str, Any]]]],
) -> tuple[str, Transport]:
    """Return the address that accepts OTLP, and its protocol; no address if no Service has one.

    Parameters
    ----------
    services
        Services of the store, each with the containers that it leads to.
    """
    pairs = list(services)
    for protocol, number, names in _PROTOCOLS:
        accepting = [
            (service, port)
            for service, containers in pairs
            if (port := port_to(service, number, names, containers))
        ]
        if accepting:
            service, port = min(accepting, key=lambda pair: rank(pair[0]))
            return address(service, port), protocol
    return "", "http"
