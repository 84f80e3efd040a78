"""The standard `OTEL_*` variables, read so that a broken one costs one line and nothing else.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from af_otel.runtime._log import say

JSON = "http/json"
PROTOBUF = "http/protobuf"
# The largest number that is taken; what waits longer, or holds more, is an OverflowError.
_MOST = 2**31 - 1
_TIMEOUT = 10.0


def _number(name: str, default: int, *, least: int = 1) -> int:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        value = least - 1
    if not least <= value <= _MOST:
        say(f"{name}={raw!r} is no whole number from {least} to {_MOST}; {default} is used")
        return default
    return value


def _seconds(signal: str) -> float:
    """Return how long an export may take: seconds, as OpenTelemetry for Python reads it."""
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"):
        raw = os.environ.get(name, "").strip()
        if not raw:
            continue
        with suppress(ValueError):
            if 0 < float(raw) <= _MOST:
                return float(raw)
        say(f"{name}={raw!r} is no number of seconds; {_TIMEOUT:g} is used")
        break
    return _TIMEOUT


def _choice(name: str, default: str, known: tuple[str, ...]) -> str:
    value = os.environ.get(name, "").strip().lower() or default
    if value not in known:
        say(f"{name}={value!r} is not one of {', '.join(known)}; {default} is used")
        return default
    return value


def _protocol(signal: str) -> str:
    general = _choice("OTEL_EXPORTER_OTLP_PROTOCOL", JSON, (JSON, PROTOBUF))
    return _choice(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", general, (JSON, PROTOBUF))


def _exporter(signal: str) -> str:
    """Return `otlp`, `console` or `none`; an endpoint that is no URL is as good as none."""
    exporter = _choice(f"OTEL_{signal}_EXPORTER", "otlp", ("otlp", "console", "none"))
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        endpoint = os.environ.get(name, "")
        if not endpoint:
            continue
        if exporter == "otlp" and not _is_url(endpoint):
            say(f"{name}={endpoint!r} is no URL such as http://collector:4318; nothing is exported")
            return "none"
        break
    return exporter


def _is_url(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return good and endpoint.split() == [endpoint]


@dataclass(frozen=True)
class Settings:
    """What the environment asks for; durations in milliseconds, time-outs of exports in seconds."""

    traces_exporter: str = field(default_factory=lambda: _exporter("TRACES"))
    metrics_exporter: str = field(default_factory=lambda: _exporter("METRICS"))
    traces_protocol: str = field(default_factory=lambda: _protocol("TRACES"))
    metrics_protocol: str = field(default_factory=lambda: _protocol("METRICS"))
    traces_timeout: float = field(default_factory=lambda: _seconds("TRACES"))
    metrics_timeout: float = field(default_factory=lambda: _seconds("METRICS"))
    queue_size: int = field(default_factory=lambda: _number("OTEL_BSP_MAX_QUEUE_SIZE", 2048))
    batch_size: int = field(default_factory=lambda: _number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512))
    # The specification's is 5 s. A killed process loses what it had not exported, and an export
    # costs about a millisecond of CPU time.
    schedule_delay: int = field(default_factory=lambda: _number("OTEL_BSP_SCHEDULE_DELAY", 1000))
    metric_interval: int = field(
        default_factory=lambda: _number("OTEL_METRIC_EXPORT_INTERVAL", 60_000)
    )
    metric_timeout: int = field(
        default_factory=lambda: _number("OTEL_METRIC_EXPORT_TIMEOUT", 30_000)
    )
    # Time that the end of a process may wait for its last telemetry.
    flush_timeout: int = field(
        default_factory=lambda: _number("AF_OTEL_FLUSH_TIMEOUT", 2000, least=0)
    )
    # Span longer than this is marked as open, so that it is seen when the process dies in it.
    pending_after: int = field(default_factory=lambda: _number("AF_OTEL_PENDING_AFTER", 1000))
    exception_texts: bool = field(
        default_factory=lambda: (
            _choice("AF_OTEL_EXCEPTION_TEXTS", "false", ("true", "false")) == "true"
        )
    )
