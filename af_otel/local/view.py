"""What a person sees of a facility: its table while it starts, and where to go when it is ready."""

from __future__ import annotations

import shlex
import shutil
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from af_otel.backends.certificates import Certificates
from af_otel.errors import AfOtelError
from af_otel.local.state import State

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType

    from af_otel.local.facility import Facility, ServiceStatus

MARKS = {
    "waiting": ("·", "dim"),
    "ready": ("✓", "green"),
    "unresponsive": ("!", "bold red"),
    "dead": ("✗", "bold red"),
    "stopping": ("·", "dim"),
    "stopped": ("·", "dim"),
}
NAME = "af-otel"
NOTEBOOK = "examples/dimuon.ipynb"
PLACES = (
    ("JupyterHub", "hub", "notebooks"),
    ("Sessions", "page", "their traces, and what runs, in the browser"),
    ("Grafana", "grafana", "dashboards"),
    ("Dask", "dask_dashboard", "its dashboard"),
    ("", "traces", "traces (HTTP API)"),  # called after the kind of store
    ("Prometheus", "prometheus", "metrics (HTTP API)"),
    ("Collector", "collector_otlp", "OTLP over HTTP"),
)


# What asks for `Facility.login`.
GATED = ("page", "dask_dashboard")


class View(AbstractContextManager["View"]):
    """A facility's changes on a terminal, as one table; elsewhere, as one line each.

    Parameters
    ----------
    console
        Where to; a machine's output goes elsewhere.
    foreground
        Whether the facility ends with this process.
    """

    def __init__(self, console: Console, *, foreground: bool = False) -> None:
        self.console = console
        self._foreground = foreground
        self._facility: Facility | None = None
        self._phase = "starting"
        self._seen: dict[str, str] = {}
        self._said: list[object] = []
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._settle()

    def update(self, facility: Facility) -> None:
        """Show the facility as it is now."""
        self._facility = facility
        if facility.phase in {"starting", "stopping"}:
            self._show()
        elif facility.phase == "ready":
            self._settle()
            if self._phase != "ready":
                self.say(welcome(facility, foreground=self._foreground))
            self._later(facility)
        else:
            self._settle()
        self._phase = facility.phase

    def _later(self, facility: Facility) -> None:
        """Tell of a service's death, and of its coming back."""
        for error in facility.errors:
            if error not in self._said:
                self.error(**error)
                self._said.append(error)
        for name, status in facility.services.items():
            if status.state == "ready" and self._seen.get(name) == "dead":
                self.say(f"{name}: {describe(status)}, again")
            if status.state == "ready" and self._seen.get(name) == "unresponsive":
                self.say(f"{name}: answers again")
            if status.state == "unresponsive" and self._seen.get(name) != "unresponsive":
                self.say(f"{name}: does not answer")
            if status.state in {"ready", "dead", "unresponsive"}:
                self._seen[name] = status.state

    def say(self, what: RenderableType) -> None:
        """Print, below the table."""
        self.console.print(what, highlight=False, markup=False, soft_wrap=isinstance(what, str))

    def error(self, what: str, where: str, hint: str, service: str = "") -> None:  # noqa: ARG002
        """Print an error of the facility's as those of commands are printed."""
        text = AfOtelError(what, where=where, hint=hint)
        self.console.print(f"error: {text}", highlight=False, soft_wrap=True, markup=False)

    def _show(self) -> None:
        assert self._facility is not None
        if self.console.is_terminal:
            if self._live is None:
                # No refresh thread: the supervisor forks, and its loop calls `update` often enough.
                self._live = Live(
                    console=self.console, auto_refresh=False, get_renderable=self._render
                )
                self._live.start()
            self._live.refresh()
            return
        self._lines(self._facility)

    def _settle(self) -> None:
        """Leave the table as it is now; what follows is printed below it."""
        if self._live is not None:
            self._live.refresh()
            self._live.stop()
            self._live = None
        elif self._facility is not None and not self.console.is_terminal:
            self._lines(self._facility)

    def _lines(self, facility: Facility) -> None:
        stopping = facility.phase in {"stopping", "stopped"}
        for note in [] if stopping else facility.notes:
            if note not in self._said:
                self.say(f"note: {note}")
                self._said.append(note)
        worth = {"stopped"} if stopping else {"ready", "dead"}
        for name, status in facility.services.items():
            if self._seen.get(name) != status.state and status.state in worth:
                address = "" if stopping else f"  {status.url}"
                self.say(f"{name}: {describe(status)}{address}")
            self._seen[name] = status.state

    def _render(self) -> RenderableType:
        assert self._facility is not None
        stopping = self._facility.phase in {"stopping", "stopped"}
        notes = [] if stopping else self._facility.notes
        lines = [Text(f"note: {note}", style="yellow") for note in notes]
        return Group(services_table(self._facility, self._spinner), *lines)


def services_table(facility: Facility, spinner: Spinner) -> Table:
    """Service, state, address and seconds."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(width=2, justify="right")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=26)
    table.add_column(justify="right", no_wrap=True, min_width=6)
    table.add_column(overflow="fold")
    for name, status in facility.services.items():
        sign, style = MARKS.get(status.state, ("", ""))
        mark: RenderableType = Text(sign, style=style)
        if status.state == "starting":
            mark = spinner
        elapsed = status.elapsed
        table.add_row(
            mark,
            Text(name, style="bold" if status.state == "ready" else ""),
            Text(_state(facility, status), style=style),
            f"{elapsed:.1f} s" if elapsed and status.state in {"starting", "ready"} else "",
            Text(status.url, style="dim" if status.state != "ready" else ""),
        )
    return table


def _state(facility: Facility, status: ServiceStatus) -> str:
    if status.state == "waiting":
        needs = [name for name in status.needs if facility.services[name].state != "ready"]
        return "waits for " + ", ".join(needs) if needs else "waits"
    if status.state == "dead" and status.ended:
        return f"dead: {status.ended}"
    return status.state


def describe(status: ServiceStatus) -> str:
    """The state of a service in a few words."""
    if status.state == "ready" and status.seconds_to_ready is not None:
        return f"ready in {status.seconds_to_ready:.1f} s"
    if status.state == "dead" and status.ended:
        return f"dead: {status.ended}"
    return status.state


def welcome(facility: Facility, *, foreground: bool) -> RenderableType:
    """Where everything is, how to get in, and what to do first."""
    ready = Text(f"Ready in {facility.seconds_to_ready or 0:.1f} s", style="bold")
    ready.append(f", in {facility.state}", style="not bold")
    places = _grid()
    for title, key, what in PLACES:
        if key in facility.urls:
            heading = title or facility.trace_store.capitalize()
            places.add_row(Text(heading, style="bold"), Text(facility.urls[key]), Text(what))
    hub, option = facility.hub, state_option(facility)
    steps = _grid()
    steps.add_row("1.", Text(f"Open {hub['url']}/hub/user-redirect/lab/tree/{NOTEBOOK}"))
    login = f"and log in: user {hub['user']} (any name will do), password "
    steps.add_row("", Text.assemble(login, (hub["password"], "bold")))
    steps.add_row("2.", Text("Run > Run All Cells"))
    trace = (f"{called()} trace last{option}", "bold")
    steps.add_row("3.", Text.assemble("See what happened: ", trace))
    if "page" in facility.urls:
        steps.add_row("", Text(f"or open {with_login(facility, 'page')}"))
    end = _grid()
    if foreground:
        end.add_row(Text("Ctrl-C stops everything"))
    else:
        end.add_row(Text(f"{called()} status{option}", style="bold"), "how it does")
        end.add_row(Text(f"{called()} down{option}", style="bold"), "stops everything")
    parts = (ready, places, steps, ways_in(facility), end)
    return Group(*(line for part in parts for line in (Text(), part)))


def ways_in(facility: Facility) -> RenderableType:
    """How the owner's browser and programs are let in, which nobody else is."""
    login, ways = facility.login, _grid()
    named = " and ".join(title for title, key, _ in PLACES if key in GATED and key in facility.urls)
    words = Text(f"user {login['user']}, password ")
    ways.add_row(Text(named), Text.assemble(words, (login["password"], "bold")))
    if "grafana" in facility.urls:
        ways.add_row(Text("Grafana"), Text("the login of JupyterHub"))
    stores = f"{facility.trace_store.capitalize()}, Prometheus, Collector"
    options = shlex.quote(str(Certificates(Path(facility.keys)).curl))
    ways.add_row(Text(stores), Text(f"curl -K {options} URL"))
    return ways


def with_login(facility: Facility, key: str) -> str:
    """Return an address that needs no typing of the login; other programs do not see it."""
    login = facility.login
    scheme, _, rest = facility.urls[key].partition("://")
    return f"{scheme}://{login['user']}:{login['password']}@{rest}"


def _grid() -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(3):
        grid.add_column(overflow="fold")
    return grid


def called() -> str:
    """Our command as it was called, so that what is printed can be typed again."""
    path = sys.argv[0]
    if Path(path).name != NAME or shutil.which(NAME) == str(Path(path).absolute()):
        return NAME
    return path


def state_option(facility: Facility) -> str:
    """What later commands need to find this facility, with a space before it."""
    return State(Path(facility.state)).option
