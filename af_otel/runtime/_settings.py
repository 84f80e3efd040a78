"""Settings of a traced process: `AF_OTEL_*`, and `OTEL_*` where those are not set.

What af-otel injects has names of its own, because other libraries in users' processes obey
`OTEL_*`: MLflow, for one, sends its traces to `OTEL_EXPORTER_OTLP_ENDPOINT` instead of storing
them. docs/settings.md lists the variables and their precedence.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import unquote

from af_otel.runtime._destination import Destination
from af_otel.runtime._log import say
from af_otel.runtime._variables import choice, first, number

_SAMPLERS = (
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
    "always_on",
    "always_off",
    "traceidratio",
)


def _sampler() -> tuple[str, float] | None:
    """Return our sampler and its ratio; None leaves the choice to `OTEL_TRACES_SAMPLER`."""
    if not first("AF_OTEL_TRACES_SAMPLER")[1]:
        return None
    name = choice("AF_OTEL_TRACES_SAMPLER", default=_SAMPLERS[0], known=_SAMPLERS)
    _, raw = first("AF_OTEL_TRACES_SAMPLER_ARG")
    try:
        ratio = float(raw or 1)
    except ValueError:
        ratio = -1
    if not 0 <= ratio <= 1:
        say(f"AF_OTEL_TRACES_SAMPLER_ARG={raw!r} is no number from 0 to 1; 1 is used")
        ratio = 1.0
    return name, ratio


def _resource() -> dict[str, str]:
    """Return the resource attributes that take precedence over `OTEL_*`."""
    attributes = {}
    for item in os.environ.get("AF_OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, equals, value = item.partition("=")
        if key.strip() and equals:
            attributes[key.strip()] = unquote(value.strip())
        elif item.strip():
            say(f"AF_OTEL_RESOURCE_ATTRIBUTES: {item!r} is not `key=value`; it is ignored")
    for key, name in (
        ("service.name", "AF_OTEL_SERVICE_NAME"),
        ("service.namespace", "AF_OTEL_FACILITY"),
    ):
        if value := os.environ.get(name, "").strip():
            attributes[key] = value
    return attributes


@dataclass(frozen=True)
class Settings:
    """What the environment asks for; durations are in milliseconds."""

    traces: Destination = field(default_factory=lambda: Destination.of("traces"))
    metrics: Destination = field(default_factory=lambda: Destination.of("metrics"))
    resource: dict[str, str] = field(default_factory=_resource)
    sampler: tuple[str, float] | None = field(default_factory=_sampler)
    queue_size: int = field(
        default_factory=lambda: number(
            "AF_OTEL_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_QUEUE_SIZE", default=2048
        )
    )
    batch_size: int = field(
        default_factory=lambda: number(
            "AF_OTEL_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default=512
        )
    )
    # The specification's is 5 s. A killed process loses what it had not exported, and an export
    # costs about a millisecond of CPU time.
    schedule_delay: int = field(
        default_factory=lambda: number(
            "AF_OTEL_SCHEDULE_DELAY", "OTEL_BSP_SCHEDULE_DELAY", default=1000
        )
    )
    metric_interval: int = field(
        default_factory=lambda: number(
            "AF_OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_INTERVAL", default=60_000
        )
    )
    metric_timeout: int = field(
        default_factory=lambda: number(
            "AF_OTEL_METRIC_EXPORT_TIMEOUT", "OTEL_METRIC_EXPORT_TIMEOUT", default=30_000
        )
    )
    # Time that the end of a process may wait for its last telemetry.
    flush_timeout: int = field(
        default_factory=lambda: number("AF_OTEL_FLUSH_TIMEOUT", default=2000, least=0)
    )
    # Span longer than this is marked as open, so that it is seen when the process dies in it.
    pending_after: int = field(
        default_factory=lambda: number("AF_OTEL_PENDING_AFTER", default=1000)
    )
    # Spans of users' code that one trace has at most, of each process.
    max_spans: int = field(
        default_factory=lambda: number("AF_OTEL_MAX_SPANS_PER_TRACE", default=1000)
    )
    exception_texts: bool = field(
        default_factory=lambda: (
            choice("AF_OTEL_EXCEPTION_TEXTS", default="false", known=("true", "false")) == "true"
        )
    )
