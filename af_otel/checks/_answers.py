"""What a destination's refusal means, by what the Collector says of it, and what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import httpx
import yaml

from af_otel.checks import credentials
from af_otel.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from af_otel.checks.context import Context
    from af_otel.checks.credentials import Reference

Kind = Literal["tls", "plain", "credentials", "path", "address", "other"]
# What is in the message, in the order of how much it tells; and what that means.
_MEANINGS: tuple[tuple[str, str, Kind], ...] = (
    (r"HTTP response to HTTPS|not look like a TLS", "speaks no TLS, but has `https`", "plain"),
    (r"x509|certificate|tls: ", "and the Collector do not trust each other (TLS)", "tls"),
    (r"\b401\b|Unauthenticated|Unauthorized", "refuses the credentials (401)", "credentials"),
    (r"\b403\b|PermissionDenied|Forbidden", "refuses us in spite of them (403)", "credentials"),
    (r"\b40[45]\b|Unimplemented", "does not take this kind of data there", "path"),
    (r"no such host|server misbehaving", "has a name that the cluster does not know", "address"),
    (r"connection refused", "does not listen: nothing answers on that port", "address"),
    (r"timeout|deadline exceeded|no route|unreachable|no answer", "cannot be reached", "address"),
)
_SHOWN = 300  # characters of a message
_ACCEPTS = {"tempo": "Tempo accepts", "jaeger": "Jaeger accepts", "otlp": "most stores accept"}


def field(context: Context, signal: str) -> str:
    """Return the path in facility.yaml of the destination of `traces` or `metrics`."""
    if signal == "traces":
        return context.facility.destinations.traces.field
    return "destinations.metrics.remote_write"


def judged(context: Context, signal: str, endpoint: str, said: str) -> Finding:
    """The finding of a destination that did not take what was sent."""
    meaning, kind = _meaning(said)
    path = field(context, signal)
    keys = [
        each
        for each in credentials.references(context)
        if each.field.startswith((f"{path}.auth", f"{path}.headers"))
    ]
    where = f"`{path}` in facility.yaml, tried from the cluster: {_short(said)}"
    if kind == "credentials":
        named = " and ".join(f"key `{each.key}` of Secret `{each.name}`" for each in keys)
        where += f"; the credentials: {named or 'none are given'}"
    return Finding(
        "blocks",
        f"`{endpoint}` {meaning}",
        where,
        f"No {signal} would be stored; the Collector keeps them only as long as its queue lasts",
        _mend(context, signal, endpoint, kind, keys),
    )


def _meaning(said: str) -> tuple[str, Kind]:
    for pattern, means, kind in _MEANINGS:
        if re.search(pattern, said):
            return means, kind
    return "did not take what was sent", "other"


def _mend(
    context: Context, signal: str, endpoint: str, kind: Kind, keys: Sequence[Reference]
) -> str:
    namespace, path = context.facility.namespace, field(context, signal)
    host = httpx.URL(endpoint).host
    if kind == "credentials":
        name = keys[0].name if keys else "my-login"
        literals = [each.key for each in keys] or ["username", "password"]
        command = (
            f"kubectl -n {namespace} create secret generic {name} "
            + " ".join(f"--from-literal={key}=…" for key in literals)
            + " --dry-run=client -o yaml | kubectl apply -f -"
        )
        return command if keys else f"{command}\n{to_write(path, _LOGIN)}"
    if kind == "tls":
        make = f"kubectl -n {namespace} create configmap my-ca --from-file=ca.crt"
        return f"# who signed its certificate\n{make}\n{to_write(path, _CA)}"
    if kind == "plain":
        return to_write(path, {"endpoint": endpoint.replace("https://", "http://", 1)})
    if kind == "path" and signal == "metrics":
        flag = "# the argument with which Prometheus takes it\n--web.enable-remote-write-receiver"
        return f"{flag}\n{to_write(path, {'endpoint': f'http://{host}:9090/api/v1/write'})}"
    if kind == "path":
        accepts = _ACCEPTS[context.facility.destinations.traces.kind]
        ports = f"# {accepts} OTLP on 4318 (http) and 4317 (grpc)"
        return f"{ports}\n{to_write(path, {'endpoint': f'http://{host}:4318'})}"
    place = host.split(".")[1] if "." in host else namespace
    return f"kubectl -n {place} get service,endpointslices  # is it there, with pods behind it?"


_LOGIN = {"auth": {"basic": {"secret": "my-login"}}}
_CA = {"tls": {"ca": {"config_map": "my-ca", "key": "ca.crt"}}}


def to_write(path: str, change: dict[str, Any]) -> str:
    """Return the lines of facility.yaml that make a change in the section at `path`."""
    document = change
    for part in reversed(path.split(".")):
        document = {part: document}
    return f"# in facility.yaml\n{yaml.safe_dump(document, sort_keys=False).rstrip()}"


def _short(said: str) -> str:
    """The end of Go's chained errors is the most exact part of them."""
    text = " ".join(said.split())
    return text if len(text) <= _SHOWN else "…" + text[-_SHOWN:]
