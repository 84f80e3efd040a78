"""`af-otel collect`: an operator's own numbers, on a schedule."""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from af_otel.metrics._collectors import Collector


def collect(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Python files with collectors in them.")
    ],
    once: Annotated[
        bool, typer.Option("--once", help="Call each once, send what they say, and end.")
    ] = False,
) -> None:
    """Call the functions that are marked with `@af_otel.metrics.collector`, and send what they say.

    `AF_OTEL_ENDPOINT` names the Collector. One that fails or hangs is reported in one line and does
    not affect the others. With `--once` the exit code is 1 if one failed: a way to try a file.

    Example: `af-otel collect --once examples/collectors/home_directories.py`
    """
    from af_otel_semconv import services

    from af_otel.metrics._collectors import Schedule
    from af_otel.runtime._sdk import load
    from af_otel.runtime._sender import Sender

    collectors = [one for file in files for one in _collectors(file)]
    _without_doubles(collectors)
    # Where in a thread's code a number was left out is no help.
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
    providers = load(services.COLLECT, "collect", Sender())
    schedule = Schedule(collectors, providers.meters.get_meter(__name__), _say)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        succeeded = schedule.run(once=once)
    except KeyboardInterrupt:
        succeeded = True
    finally:
        schedule.stop()
        providers.shutdown()
    raise typer.Exit(0 if succeeded else 1)


def _collectors(file: Path) -> list[Collector]:
    from af_otel.metrics._collectors import collectors_of

    found = collectors_of(_module(file))
    if not found:
        raise AfOtelError(
            f"`{file}` has no collector in it",
            where=str(file),
            hint="mark a function of it with `@af_otel.metrics.collector(every=60)`",
        )
    return found


def _module(file: Path) -> Any:
    # Not its own name: a collector of batch queues may be `queue.py`, which Python has, too.
    name = f"collectors_in_{file.stem}"
    spec = util.spec_from_file_location(name, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise AfOtelError(
            f"`{file}` is no Python file", where=str(Path.cwd()), hint="name one that ends in `.py`"
        )
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    # A collector may import what lies beside it.
    sys.path.append(str(file.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        line = _line_in(error, file)
        raise AfOtelError(
            f"`{file}` cannot be imported: {type(error).__name__}: {error}",
            where=f"{file}:{line}" if line else str(file),
            hint=f"`python {file}` shows the same",
        ) from error
    return module


def _line_in(error: BaseException, file: Path) -> int | None:
    line, trace = getattr(error, "lineno", None), error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == file.absolute():
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _without_doubles(collectors: list[Collector]) -> None:
    from af_otel.metrics._collectors import PREFIX
    from af_otel.metrics._names import prometheus

    seen: set[str] = set()
    for one in collectors:
        name = prometheus(f"{PREFIX}{one.name}", one.unit)
        if name.lower() in seen:
            raise AfOtelError(
                f"Two collectors would be `{name}` in Prometheus",
                where=str(sys.modules[one.function.__module__].__file__),
                hint='give one another name: `@collector(name="...")`',
            )
        seen.add(name.lower())


_last: dict[str, str] = {}
_lock = threading.Lock()


def _say(name: str, text: str) -> None:
    """Say what changed: a line for each call would fill a log."""
    with _lock:
        if _last.get(name) != text:
            _last[name] = text
            typer.echo(f"{name}: {text}", err=True)
