"""The front door: the proxy's Service, by a port of this machine."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from af_otel.errors import AfOtelError
from af_otel.kubernetes.client import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.kubernetes.client import Cluster

_TIMEOUT = 30  # s


@dataclass(frozen=True)
class Door:
    """Where to knock, and how a TLS connection to there is checked, if it is one."""

    url: str
    tls: ssl.SSLContext | None = None


@contextlib.contextmanager
def front_door(cluster: Cluster, namespace: str, service: str, base_url: str) -> Iterator[Door]:
    """Open it: plain HTTP if the proxy speaks that, else HTTPS."""
    found = cluster.get(Ref("v1", "Service", service, namespace))
    if found is None:
        raise AfOtelError(
            f"There is no Service `{service}` in `{namespace}`",
            where="`hub.proxy` of the facility's file, the front door",
            hint=f"`kubectl -n {namespace} get services` shows which there are",
        )
    said = []
    with contextlib.ExitStack() as stack:
        for port, encrypted in _ports(found):
            url = stack.enter_context(cluster.forward(namespace, f"service/{service}", port))
            door = Door(url.replace("http", "https", 1), _unchecked()) if encrypted else Door(url)
            answer = _knock(door, f"{base_url}hub/api/")
            if answer is not None and answer.is_success and "version" in answer.text:
                yield door
                return
            # Where HTTPS is served, plain HTTP is often answered with a way there.
            said.append(
                f"port {port}: {'no answer' if answer is None else answer.status_code}"
                + (" (by TLS)" if encrypted else "")
            )
    raise AfOtelError(
        "No hub answers at the front door",
        where=f"Service `{service}` in `{namespace}`, `{base_url}hub/api/`: {', '.join(said)}",
        hint="are `hub.proxy` and `hub.base_url` of the facility's file right?",
    )


def _ports(service: dict[str, dict[str, list[dict[str, object]]]]) -> list[tuple[int, bool]]:
    """Its ports, and whether they look like TLS; plain ones first."""
    ports = []
    for port in service["spec"].get("ports", []):
        number, name = int(str(port["port"])), str(port.get("name", ""))
        ports.append((number, number in {443, 8443} or "https" in name))
    # A port may be called what it is not, as behind a load balancer that ends TLS itself.
    return sorted(ports, key=lambda port: port[1]) + [(port, not tls) for port, tls in ports]


def _knock(door: Door, path: str) -> httpx.Response | None:
    try:
        with httpx.Client(
            verify=door.tls or True, trust_env=False, timeout=_TIMEOUT, follow_redirects=False
        ) as client:
            return client.get(door.url + path)
    except httpx.HTTPError:
        return None


def _unchecked() -> ssl.SSLContext:
    """The API server carries the connection to the very pod: no name is left to check."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
