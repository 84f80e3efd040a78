"""A synthetic user's visit, from the login form to the last hop of its telemetry."""

from __future__ import annotations

import ast
import contextlib
import fcntl
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel_semconv import attributes as names
from af_otel_semconv import carriers
from opentelemetry.baggage import get_baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from af_otel.backends.http import NotReachable
from af_otel.backends.prometheus import Prometheus
from af_otel.backends.tempo import Tempo
from af_otel.errors import AfOtelError
from af_otel.local.view import state_option
from af_otel.verify import hops, metrics
from af_otel.verify.collector import SpansFile
from af_otel.verify.kernel import Kernel
from af_otel.verify.report import Report, Step
from af_otel.verify.user import User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from af_otel.backends.spans import Span
    from af_otel.local.facility import Facility

NOTEBOOK = "examples/dimuon.ipynb"
NAME = "verify"
# s; from the notebook's end to the last span and metric. They are sent every 1 and 5 s, and Tempo
# finds a trace two seconds later: what takes longer is not coming.
PATIENCE = 20.0
_POLL = 0.3
_LOG_IN, _SPAWN, _KERNEL, _CELLS, _SPANS, _METRICS, _CLEAN_UP = STEPS = (
    "log in",
    "spawn server",
    "start kernel",
    "run cells",
    "find spans",
    "find metrics",
    "clean up",
)


class Verification:
    """One visit to `facility`, told step by step through `changed`."""

    def __init__(
        self, facility: Facility, timeout: float, changed: Callable[[Report], None]
    ) -> None:
        self.report = Report(facility.name, steps=[Step(name) for name in STEPS])
        self._facility = facility
        self._changed = changed
        self._began, self._began_at = time.monotonic(), time.time()
        self._deadline = self._began + timeout
        self._option = state_option(facility)
        self._spans_file = SpansFile(Path(facility.spans_file))
        self._tempo = Tempo(facility.urls["tempo"])
        self._prometheus = Prometheus(facility.urls["prometheus"])
        self._spans: list[Span] = []
        self._cells = 0
        self._tasks = 0

    def run(self) -> Report:
        """Go the whole way, or as far as it goes; leave no server behind."""
        try:
            with _name(Path(self._facility.state)) as name:
                self.report.user = name
                self._visit(name)
        except AfOtelError as error:
            self._break(error)
        self.report.seconds = time.monotonic() - self._began
        return self.report

    def _visit(self, name: str) -> None:
        hub = self._facility.hub
        with User(hub["url"], name, hub["password"]) as user:
            with self._step(_LOG_IN, "jupyterhub") as step:
                user.log_in()
                step.detail = f"as `{name}`"
            try:
                self._session(user)
            except AfOtelError as error:
                self._break(error)
            finally:
                # Also when Ctrl-C or a failure ends the visit early.
                with self._step(_CLEAN_UP, "jupyterhub") as step:
                    user.stop_server()
                    user.log_out()
                    step.detail = "the server is stopped, the user logged out"

    def _session(self, user: User) -> None:
        with self._step(_SPAWN, "jupyterhub") as step:
            user.spawn(self._left())
            step.detail = "its server answers"
        with contextlib.ExitStack() as stack:
            with self._step(_KERNEL, "jupyterhub") as step:
                kernel = stack.enter_context(Kernel(user, NOTEBOOK, "python3"))
                variable = f"__import__('os').environ.get({carriers.ENV_BAGGAGE!r}, '')"
                said = kernel.ask(self._left(), baggage=variable)["baggage"]
                self.report.session = _session_id(ast.literal_eval(said))
                step.detail = "python3, over the websocket"
            with self._step(_CELLS, "jupyterhub") as step:
                self._run_cells(user, kernel, step)
            self._look(_SPANS, self._find_spans)
            self._look(_METRICS, self._find_metrics)
            kernel.shut_down()

    def _run_cells(self, user: User, kernel: Kernel, step: Step) -> None:
        params = {"type": "notebook", "content": "1"}
        notebook = user.server_api("GET", f"contents/{NOTEBOOK}", params=params).json()["content"]
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for number, cell in enumerate(cells, 1):
            step.detail = f"{number} of {len(cells)} of `{NOTEBOOK}`"
            self._changed(self.report)
            outcome = kernel.run("".join(cell["source"]), self._left())
            if outcome.status != "ok":
                raise AfOtelError(
                    f"Cell `{cell.get('id', number)}` of `{NOTEBOOK}` did not run",
                    where=outcome.error or f"the kernel says `{outcome.status}`",
                    hint=f"log in to {self._facility.hub['url']} and run it there",
                )
            self._cells += 1
            # The notebook says how many tasks it sends; the last thing it prints is what it found.
            tasks = re.search(r"(\d+) tasks", outcome.text)
            self._tasks += int(tasks[1]) if tasks else 0
            lines = outcome.text.strip().splitlines()
            self.report.result = lines[-1] if lines else self.report.result
        step.detail = f"{self._cells} of `{NOTEBOOK}`: {self.report.result}"

    def _find_spans(self, step: Step) -> None:
        report, every = self.report, self._spans_file.read()
        if not report.session:
            report.session = self._guess(every)
        at_collector = hops.of_session(every, report.session)
        in_tempo = self._tempo.session(report.session, start=self._began_at) if every else []
        report.hops = hops.prove(at_collector, in_tempo, report.session, self._cells)
        report.processes = hops.processes(in_tempo)
        step.detail = (
            f"{len(in_tempo)} in {len({span.trace_id for span in in_tempo})} traces "
            f"from {report.processes} processes"
        )
        self._spans = in_tempo
        broken = next((hop for hop in report.hops if not hop.proven), None)
        if broken is None and report.processes >= hops.PROCESSES:
            return
        if not every:
            raise _NotYet(
                "collector",
                "No span has arrived at the Collector",
                where=self._facility.urls["collector_otlp"],
                hint=self._read("collector"),
            )
        if broken is None:
            raise _NotYet(
                "processes",
                f"The session's spans are of {report.processes} processes, "
                f"fewer than {hops.PROCESSES}",
                where=f"`service.instance.id` of session `{report.session}`",
                hint=f"look at them: `af-otel trace {report.session}{self._option}`",
            )
        hop = next(hop for hop in hops.HOPS if hop.span == broken.span)
        raise _NotYet(
            broken.span,
            broken.problem[0].upper() + broken.problem[1:],
            where=f"session `{report.session}`" if report.session else "no session's id anywhere",
            hint=self._read(hop.log if not broken.at_collector else "tempo"),
        )

    def _find_metrics(self, step: Step) -> None:
        if not self.report.metrics:
            self.report.metrics = metrics.wanted(self._spans, self._cells, self._tasks)
        if metrics.look(self._prometheus, self.report.metrics, self._began_at):
            step.detail = f"{len(self.report.metrics)} have counted it"
            return
        broken = next(metric for metric in self.report.metrics if not metric.proven)
        raise _NotYet(
            broken.metric,
            f"`{broken.metric}` rose by {broken.increase:g} where {broken.expected:g} was done",
            where=f"`{broken.promql}` at {self._prometheus.url}",
            hint=self._read("collector"),
        )

    def _look(self, name: str, look: Callable[[Step], None]) -> None:
        """Look again and again, until all is there or patience ends."""
        with self._step(name, "collector") as step:
            deadline = min(self._deadline, time.monotonic() + PATIENCE)
            while True:
                try:
                    look(step)
                except NotReachable as error:
                    # Named as the service is: `tempo`, `prometheus`.
                    hop = error.server.lower()
                    missing = _NotYet(hop, error.what, where=error.where, hint=self._read(hop))
                except _NotYet as error:
                    missing = error
                else:
                    return
                if time.monotonic() > deadline:
                    raise missing
                self._changed(self.report)
                time.sleep(_POLL)

    def _guess(self, spans: list[Span]) -> str:
        """The session of the server spawned last, when the kernel does not know its own."""
        spawns = [span for span in spans if span.name == hops.HOPS[0].span]
        return str(spawns[-1].attributes.get(names.SESSION_ID, "")) if spawns else ""

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise AfOtelError(
                "The time for the whole verification is over",
                where=f"{time.monotonic() - self._began:.0f} s after its begin",
                hint="give it more with `--timeout`; is this machine very busy?",
            )
        return left

    def _read(self, log: str) -> str:
        return f"read `af-otel logs {log}{self._option}`"

    @contextlib.contextmanager
    def _step(self, name: str, log: str) -> Iterator[Step]:
        step = next(step for step in self.report.steps if step.name == name)
        step.progress, step.began = "running", time.monotonic()
        self._changed(self.report)
        try:
            yield step
        except AfOtelError as error:
            step.progress = "failed"
            error.hint = error.hint or self._read(log)
            self.report.broken = self.report.broken or getattr(error, "hop", "") or name
            raise
        except BaseException:
            step.progress = "failed"
            raise
        else:
            step.progress = "done"
        finally:
            step.seconds = time.monotonic() - step.began
            self._changed(self.report)

    def _break(self, error: AfOtelError) -> None:
        """Keep the first error: what follows comes of it."""
        self.report.error = self.report.error or error
        self.report.broken = self.report.broken or "facility"


def _session_id(carried: str) -> str:
    context = W3CBaggagePropagator().extract({"baggage": carried}, context=Context())
    return str(get_baggage(names.SESSION_ID, context) or "")


class _NotYet(AfOtelError):
    """Something is missing, which may still be on its way."""

    def __init__(self, hop: str, what: str, *, where: str, hint: str) -> None:
        super().__init__(what, where=where, hint=hint)
        self.hop = hop


@contextlib.contextmanager
def _name(state: Path) -> Iterator[str]:
    """A user name that no other verification here has now; few names, used again and again."""
    directory = state / "verify"
    directory.mkdir(mode=0o700, exist_ok=True)
    number = 1
    while True:
        name = NAME if number == 1 else f"{NAME}-{number}"
        descriptor = os.open(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            number += 1
            continue
        try:
            # The hub gives what is missing: the notebook of the version that runs now.
            shutil.rmtree(state / "home" / name / "examples", ignore_errors=True)
            yield name
        finally:
            os.close(descriptor)
        return
