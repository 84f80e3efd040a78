"""Where a signal of this process is exported to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from opentelemetry.util.re import parse_env_headers

from af_otel.runtime._log import say
from af_otel.runtime._variables import choice, first, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

# A receiver of OTLP over HTTP takes both, so JSON is sent in either case.
_PROTOCOLS = ("http/json", "http/protobuf")
Signal = Literal["traces", "metrics"]


@dataclass(frozen=True)
class Destination:
    """The exporter of one signal and its settings.

    A setting that is empty is left to the exporter, which then reads `OTEL_EXPORTER_OTLP_*`, unless
    the destination is `own`.

    Attributes
    ----------
    own
        Whether an `AF_OTEL_*` variable names the endpoint. No `OTEL_*` variable then applies: those
        are about the user's own telemetry, and their headers may hold the user's credentials.
    exporter
        `otlp`, `console` or `none`.
    timeout
        Seconds that an export may take.
    """

    signal: Signal
    own: bool
    exporter: str
    timeout: float
    endpoint: str
    headers: Mapping[str, str]
    compression: str
    certificate: str
    client_key: str
    client_certificate: str

    @classmethod
    def of(cls, signal: Signal) -> Destination:
        """Read the destination of a signal from the environment."""
        own = bool(first(*_ours(signal, "ENDPOINT"))[1])

        def names(setting: str) -> tuple[str, ...]:
            ours = _ours(signal, setting)
            return ours if own else (*ours, *_theirs(signal, setting))

        choice(*names("PROTOCOL"), default=_PROTOCOLS[0], known=_PROTOCOLS)
        compressions = ("none", "gzip", "deflate")
        return cls(
            signal=signal,
            own=own,
            exporter=_exporter(signal, own=own, endpoint=first(*names("ENDPOINT"))),
            timeout=seconds(*names("TIMEOUT"), default=10),
            endpoint=_endpoint(signal),
            headers=parse_env_headers(first(*_ours(signal, "HEADERS"))[1], liberal=True),
            compression=choice(*_ours(signal, "COMPRESSION"), default="none", known=compressions)
            if own or first(*_ours(signal, "COMPRESSION"))[1]
            else "",
            certificate=first(*_ours(signal, "CERTIFICATE"))[1],
            client_key=first(*_ours(signal, "CLIENT_KEY"))[1],
            client_certificate=first(*_ours(signal, "CLIENT_CERTIFICATE"))[1],
        )


def _ours(signal: Signal, setting: str) -> tuple[str, ...]:
    return f"AF_OTEL_{signal.upper()}_{setting}", f"AF_OTEL_{setting}"


def _theirs(signal: Signal, setting: str) -> tuple[str, ...]:
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_{setting}", f"OTEL_EXPORTER_OTLP_{setting}"


def _endpoint(signal: Signal) -> str:
    """Return the URL that `AF_OTEL_*` names, with the signal's path."""
    specific, general = _ours(signal, "ENDPOINT")
    if url := first(specific)[1]:
        return url
    url = first(general)[1]
    return f"{url.rstrip('/')}/v1/{signal}" if url else ""


def _exporter(signal: Signal, *, own: bool, endpoint: tuple[str, str]) -> str:
    """Return the name of the exporter; it is `none` if the endpoint is not a URL."""
    names = [f"AF_OTEL_{signal.upper()}_EXPORTER"]
    if not own:
        names.append(f"OTEL_{signal.upper()}_EXPORTER")
    exporter = choice(*names, default="otlp", known=("otlp", "console", "none"))
    name, url = endpoint
    if exporter == "otlp" and url and not _is_url(url):
        say(f"{name}={url!r} is no URL such as http://collector:4318; nothing is exported")
        return "none"
    return exporter


def _is_url(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return good and endpoint.split() == [endpoint]
