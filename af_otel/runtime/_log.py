"""The log of a traced process: each line once, and never on a stream that a user sees."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from af_otel.runtime._packages import INSTRUMENTATIONS, OPENTELEMETRY

if TYPE_CHECKING:
    from collections.abc import Iterator

# What these log is said by us, once and in one line. Unconfigured logging would print it into
# whatever cell runs at that moment.
_LOGGERS = (
    "exporter.otlp",
    "exporter.http",
    "sdk.metrics._internal.export",
)

_said: set[str] = set()


def say(line: str) -> None:
    """Log one line, unless this process has logged it before."""
    if line in _said or len(_said) > 100:  # noqa: PLR2004
        return
    _said.add(line)
    boot = sys.modules.get("_af_otel_boot")
    if boot is not None:
        boot.say(line)
    elif sys.__stderr__ is not None:  # `af-otel collect`, which an operator runs
        with suppress(OSError, ValueError):  # closed, as a daemon's is
            sys.__stderr__.write(f"af-otel: {line}\n")
            sys.__stderr__.flush()


def keep_from_the_users_handlers() -> None:
    """Log what instrumentations and our OpenTelemetry report as `say` does, unless stderr is an
    operator's log.

    Users configure logging: a root handler prints into the cell that runs.
    """
    boot = sys.modules.get("_af_otel_boot")
    if boot is None or boot.operated():
        return
    for name in (INSTRUMENTATIONS, OPENTELEMETRY):
        logger = logging.getLogger(name)
        if _says not in logger.handlers:
            logger.addHandler(_says)
        logger.propagate = False
    _kept.add(OPENTELEMETRY)


def quieten_exporters() -> None:
    """Keep the exporters' own reports of a Collector that is away out of the user's sight."""
    for name in _LOGGERS:
        logger = logging.getLogger(f"{OPENTELEMETRY}.{name}")
        logger.setLevel(logging.CRITICAL + 1)


# What reads the headers' setting; it quotes what it cannot read, which is somebody's token.
_QUOTES_HEADERS = f"{OPENTELEMETRY}.util.re"
# A setting that is quoted may be as long as the environment.
_LONGEST = 500


class _Says(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.name == _QUOTES_HEADERS:
            record.args = ("[redacted]",)
        say(record.getMessage().partition("\n")[0][:_LONGEST])


_says = _Says(logging.WARNING)
_lock = threading.Lock()
_within = 0
# Loggers that have `_says` for good.
_kept: set[str] = set()


@contextmanager
def one_line_each() -> Iterator[None]:
    """While OpenTelemetry is set up, pass on what it logs, without its stack traces.

    It is of settings that cannot be used; a kernel's unconfigured logging would show it in a cell.
    """
    global _within  # noqa: PLW0603 - the loader's thread and the main one may overlap
    logger = logging.getLogger(OPENTELEMETRY)
    with _lock:
        _within += 1
        logger.addHandler(_says)
        logger.propagate = False
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if not _within and OPENTELEMETRY not in _kept:
                logger.removeHandler(_says)
                logger.propagate = True
