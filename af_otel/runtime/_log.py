"""What a traced process says of itself: each line once, on the process' own stderr."""

from __future__ import annotations

import logging
import sys

# What these log is said by us, once and in one line. Unconfigured logging would print it into
# whatever cell runs at that moment.
_LOGGERS = (
    "opentelemetry.exporter.otlp",
    "opentelemetry.exporter.http",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal.export",
)

_said: set[str] = set()


def say(line: str) -> None:
    """Write one line, unless it was written before.

    Not `sys.stderr`: a kernel's is the output of its cells.
    """
    if line in _said or len(_said) > 100:  # noqa: PLR2004
        return
    _said.add(line)
    stream = sys.__stderr__
    if stream is not None:
        try:
            stream.write(f"af-otel: {line}\n")
            stream.flush()
        except (OSError, ValueError):  # closed, as a daemon's is
            pass


def quieten_exporters() -> None:
    """Keep the exporters' own reports of a Collector that is away out of the user's sight."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
