"""What the Collector has to know and nobody else: Secrets as files, and as variables where only
these will do.

A mounted Secret follows its changes, and is not in the pod's description.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.facility.destinations import SecretKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.facility import Facility
    from af_otel.facility.destinations import Auth, Certificate, Endpoint, Tls

DIRECTORY = "/etc/af-otel-secrets"
HUB_TOKEN = "hub-token"  # noqa: S105 - a volume's name


def endpoints(facility: Facility) -> Iterator[tuple[str, Endpoint]]:
    """What telemetry is sent to, by signal."""
    yield "traces", facility.destinations.traces.store
    if facility.destinations.metrics.remote_write:
        yield "metrics", facility.destinations.metrics.remote_write


def secret_env(facility: Facility) -> list[dict[str, Any]]:
    """The container's variables that name or hold what is secret, as Kubernetes has them."""
    made = [
        {
            "name": header_variable(signal, number),
            "valueFrom": {"secretKeyRef": {"name": value.secret, "key": value.key}},
        }
        for signal, endpoint in endpoints(facility)
        for number, value in enumerate(endpoint.headers.values())
        if isinstance(value, SecretKey)
    ]
    if _hub_token(facility):
        made.append({"name": "AF_OTEL_HUB_TOKEN_FILE", "value": path(HUB_TOKEN, "token")})
    return made


def header_variable(signal: str, number: int) -> str:
    """The variable of a destination's header that comes from a Secret."""
    return f"AF_OTEL_{signal.upper()}_HEADER_{number + 1}"


def mounts(facility: Facility) -> dict[str, tuple[str, dict[str, Any]]]:
    """Volumes by name: the directory where each is mounted, and its source."""
    made: dict[str, tuple[str, dict[str, Any]]] = {}
    for signal, endpoint in endpoints(facility):
        if endpoint.tls:
            made |= dict(_of_tls(signal, endpoint.tls))
        if endpoint.auth:
            made |= dict(_of_auth(signal, endpoint.auth))
    token = facility.scrape.hub_token
    if token and _hub_token(facility):
        made |= _secret(HUB_TOKEN, token.secret, {token.key: "token"})
    return made


def path(volume: str, file: str) -> str:
    """Where a file of a volume is."""
    return f"{DIRECTORY}/{volume}/{file}"


def _hub_token(facility: Facility) -> bool:
    return facility.scrape.hub and facility.scrape.hub_token is not None


def _of_tls(signal: str, tls: Tls) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    if tls.ca:
        yield f"{signal}-ca", (f"{DIRECTORY}/{signal}-ca", _certificate(tls.ca))
    # They may be in two Secrets, so each has a volume.
    for name, part in (("cert", tls.cert), ("key", tls.key)):
        if part:
            yield from _secret(f"{signal}-{name}", part.secret, {part.key: f"tls.{name}"}).items()


def _certificate(ca: Certificate) -> dict[str, Any]:
    items = [{"key": ca.key, "path": "ca.crt"}]
    if ca.secret:
        return {"secret": {"secretName": ca.secret, "items": items}}
    return {"configMap": {"name": ca.config_map, "items": items}}


def _of_auth(signal: str, auth: Auth) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    name = f"{signal}-auth"
    if auth.basic:
        keys = {auth.basic.username: "username", auth.basic.password: "password"}
        yield from _secret(name, auth.basic.secret, keys).items()
    elif auth.bearer:
        yield from _secret(name, auth.bearer.secret, {auth.bearer.key: "token"}).items()


def _secret(volume: str, name: str, files: dict[str, str]) -> dict[str, tuple[str, dict[str, Any]]]:
    items = [{"key": key, "path": file} for key, file in files.items()]
    return {volume: (f"{DIRECTORY}/{volume}", {"secret": {"secretName": name, "items": items}})}
