"""What a person sees of a facility."""

from __future__ import annotations

import io

from inline_snapshot import snapshot
from rich.console import Console

from af_otel.local.facility import Facility, ServiceStatus
from af_otel.local.view import View


def an_example() -> Facility:
    return Facility(
        name="test",
        state="/var/tmp/f",
        pid=1,
        started=0.0,
        services={
            "collector": ServiceStatus("http://127.0.0.1:4318", 4318, "/l", "ready", 2),
            "jaeger": ServiceStatus("http://127.0.0.1:16687", 16687, "/l", "starting", 3),
        },
        hub={"url": "http://127.0.0.1:8000", "user": "physicist", "password": "word"},
        login={"user": "physicist", "password": "other"},
        keys="/var/tmp/f/keys",
        urls={
            "hub": "http://127.0.0.1:8000",
            "page": "http://127.0.0.1:8088",
            "dask_dashboard": "http://127.0.0.1:8787/status",
            "traces": "http://127.0.0.1:16687",
            "prometheus": "http://127.0.0.1:9090",
            "collector_otlp": "http://127.0.0.1:4318",
        },
        trace_store="jaeger",
        notes=["port 16686 is taken; Jaeger listens on 16687"],
    )


def written(*, terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=90, force_terminal=terminal, color_system=None), out


def text(out: io.StringIO) -> str:
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_a_log_gets_a_line_for_each_change_and_then_the_way_in():
    """What is ready is said once, however often the facility is looked at."""
    shown = an_example()
    shown.services["collector"].seconds_to_ready = 0.31
    console, out = written(terminal=False)
    with View(console) as view:
        view.update(shown)
        view.update(shown)
        shown.services["jaeger"].state, shown.services["jaeger"].seconds_to_ready = "ready", 1.2
        shown.phase, shown.seconds_to_ready = "ready", 8.34
        view.update(shown)
        view.update(shown)
    assert text(out) == snapshot("""\
note: port 16686 is taken; Jaeger listens on 16687
collector: ready in 0.3 s  http://127.0.0.1:4318
jaeger: ready in 1.2 s  http://127.0.0.1:16687

Ready in 8.3 s, in /var/tmp/f

JupyterHub  http://127.0.0.1:8000         notebooks
Sessions    http://127.0.0.1:8088         their traces, and what runs, in the browser
Dask        http://127.0.0.1:8787/status  its dashboard
Jaeger      http://127.0.0.1:16687        traces (HTTP API)
Prometheus  http://127.0.0.1:9090         metrics (HTTP API)
Collector   http://127.0.0.1:4318         OTLP over HTTP

1.  Open http://127.0.0.1:8000/hub/user-redirect/lab/tree/examples/dimuon.ipynb
    and log in: user physicist (any name will do), password word
2.  Run > Run All Cells
3.  See what happened: af-otel trace last --state /var/tmp/f
    or open http://physicist:other@127.0.0.1:8088

Sessions and Dask              user physicist, password other
Jaeger, Prometheus, Collector  curl -K /var/tmp/f/keys/curl URL

af-otel status --state /var/tmp/f  how it does
af-otel down --state /var/tmp/f    stops everything\
""")


def test_a_death_is_told_with_its_log_and_so_is_the_return():
    """On the terminal that `up` was left running in."""
    shown = an_example()
    shown.phase, shown.seconds_to_ready = "ready", 8.34
    console, out = written(terminal=False)
    with View(console, foreground=True) as view:
        view.update(shown)
        out.truncate(0)
        out.seek(0)
        shown.services["jaeger"].state = "dead"
        shown.errors.append(
            {
                "service": "jaeger",
                "what": "`jaeger` ended by itself: exit code 3",
                "where": "`/l`\n    | no space [left]",
                "hint": "do something",
            }
        )
        view.update(shown)
        shown.services["jaeger"].state = "starting"
        view.update(shown)
        shown.services["jaeger"].state, shown.services["jaeger"].seconds_to_ready = "ready", 0.5
        view.update(shown)
    assert text(out) == snapshot("""\
jaeger: dead  http://127.0.0.1:16687
error: `jaeger` ended by itself: exit code 3
  where: `/l`
    | no space [left]
  hint:  do something
jaeger: ready in 0.5 s  http://127.0.0.1:16687\
""")


def test_a_terminal_shows_one_table_that_says_what_waits_for_what():
    """The last frame of it stays."""
    shown = an_example()
    shown.services["hub"] = ServiceStatus("http://h", 1, "/l", "waiting", needs=["jaeger"])
    shown.services["jaeger"].state, shown.services["jaeger"].ended = "dead", "exit code 3"
    console, out = written(terminal=True)
    with View(console) as view:
        view.update(shown)
    last = text(out).rpartition("\x1b[2K")[2].replace("\x1b[?25h", "")
    assert last == snapshot("""\
 ✓  collector  ready                               http://127.0.0.1:4318
 ✗  jaeger     dead: exit code 3                   http://127.0.0.1:16687
 ·  hub        waits for jaeger                    http://h
note: port 16686 is taken; Jaeger listens on 16687
""")
