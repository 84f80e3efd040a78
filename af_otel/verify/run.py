"""A synthetic user's visit, from the front door to the last hop of its telemetry."""

from __future__ import annotations

import ast
import contextlib
import re
import time
from typing import TYPE_CHECKING

from af_otel_semconv import attributes as names
from af_otel_semconv import carriers, services, spans
from opentelemetry.baggage import get_baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from af_otel.backends.find import session_spans
from af_otel.backends.http import BackendError
from af_otel.errors import AfOtelError
from af_otel.verify import hops, metrics
from af_otel.verify.interrupts import held_off
from af_otel.verify.kernel import Kernel
from af_otel.verify.place import COLLECTOR, PROMETHEUS, TRACE_STORE
from af_otel.verify.report import Report, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from af_otel.backends.spans import Span
    from af_otel.verify.place import Place
    from af_otel.verify.visitor import Visitor

_SPAWN, _KERNEL, _CELLS, _SPANS, _METRICS, _CLEAN_UP = (
    "spawn server",
    "start kernel",
    "run cells",
    "find spans",
    "find metrics",
    "clean up",
)


class Verification:
    """One visit to `place`, told step by step through `changed`."""

    def __init__(self, place: Place, timeout: float, changed: Callable[[Report], None]) -> None:
        steps = (place.enters, _SPAWN, _KERNEL, _CELLS, _SPANS, _METRICS, _CLEAN_UP)
        self.report = Report(place.name, steps=[Step(name) for name in steps])
        self.report.store = place.store.name if place.store else ""
        self.report.unproven = place.unproven
        self._place = place
        self._changed = changed
        self._began, self._began_at = time.monotonic(), time.time()
        self._deadline = self._began + timeout
        self._spans: list[Span] | None = None
        self._cells = 0
        self._tasks = 0

    def run(self) -> Report:
        """Go the whole way, or as far as it goes; leave nothing behind."""
        try:
            self._visit()
        except AfOtelError as error:
            self._break(error)
        finally:
            # Also when Ctrl-C or a failure ends the visit early, and whatever is pressed then.
            with held_off():
                self._clean_up()
        self.report.seconds = time.monotonic() - self._began
        return self.report

    def _visit(self) -> None:
        with self._step(self._place.enters, services.JUPYTERHUB) as step:
            user = self._place.enter(self._left, lambda detail: self._say(step, detail))
            self.report.user = user.name
        with self._step(_SPAWN, services.JUPYTERHUB) as step:
            user.spawn(self._left())
            step.detail = "its server answers"
        with contextlib.ExitStack() as stack:
            with self._step(_KERNEL, services.JUPYTER_SERVER) as step:
                kernel = stack.enter_context(Kernel(user, self._place.notebook))
                variable = f"__import__('os').environ.get({carriers.ENV_BAGGAGE!r}, '')"
                said = kernel.ask(self._left(), baggage=variable)["baggage"]
                known = self._place.session(_session_id(ast.literal_eval(said)))
                self.report.session = known
                step.detail = f"{kernel.name}, over the websocket"
            with self._step(_CELLS, services.JUPYTER_KERNEL) as step:
                self._run_cells(user, kernel, step)
            # It sends what it has counted when it ends, and need not be waited for.
            kernel.shut_down()
        self._look(_SPANS, self._find_spans)
        self._look(_METRICS, self._find_metrics)

    def _clean_up(self) -> None:
        try:
            with self._step(_CLEAN_UP, services.JUPYTERHUB) as step:
                step.detail = self._place.leave()
        except AfOtelError as error:
            if self.report.error is None:
                self._break(error)
            else:
                self.report.left = error

    def _run_cells(self, user: Visitor, kernel: Kernel, step: Step) -> None:
        what = self._place.notebook
        self._say(step, "what is there is looked at")
        cells = self._place.cells(user, kernel, self._left)
        for number, cell in enumerate(cells, 1):
            self._say(step, f"{number} of {len(cells)} of `{what}`")
            outcome = kernel.run(cell.source, self._left())
            if outcome.status != "ok":
                raise AfOtelError(
                    f"Cell `{cell.name}` of `{what}` did not run",
                    where=outcome.error or f"the kernel says `{outcome.status}`",
                    hint=self._place.advice(cell.about) if cell.about else "",
                )
            if cell.prints and cell.prints not in outcome.text:
                raise AfOtelError(
                    f"Cell `{cell.name}` of `{what}` did not print `{cell.prints}`",
                    where=f"it printed `{outcome.text.strip()}`",
                )
            self._cells += 1
            self._place.ran(cell)
            # The notebook says how many tasks it sends; the last thing it prints is what it found.
            tasks = re.search(r"(\d+) tasks", outcome.text)
            self._tasks += int(tasks[1]) if tasks else 0
            lines = outcome.text.strip().splitlines()
            self.report.result = lines[-1] if lines else self.report.result
        step.detail = f"{self._cells} of `{what}`: {self.report.result}"

    def _find_spans(self, step: Step) -> None:
        report, place = self.report, self._place
        every = place.at_collector()
        report.session = report.session or place.session("")
        at_collector = None if every is None else hops.of_session(every, report.session)
        if place.store is None:
            self._find_no_spans(step)
            return
        in_store: list[Span] = []
        if report.session and every != []:
            in_store, _ = session_spans(place.store, report.session, start=self._began_at)
        report.hops = hops.prove(
            place.hops, at_collector, in_store, report.session, self._cells, place.misplaced
        )
        report.processes = hops.processes(in_store)
        step.detail = (
            f"{len(in_store)} in {len({span.trace_id for span in in_store})} traces "
            f"from {report.processes} processes"
        )
        self._spans = in_store
        broken = next((hop for hop in report.hops if not hop.proven), None)
        fewest = hops.fewest_processes(place.hops)
        if broken is None and report.processes >= fewest:
            report.collector = "" if every is not None else place.collector()
            return
        if not place.heard():
            raise _NotYet(
                COLLECTOR, "No span has arrived at the Collector", where=place.collector()
            )
        if broken is None:
            raise _NotYet(
                "processes",
                f"The session's spans are of {report.processes} processes, fewer than {fewest}",
                where=f"`service.instance.id` of session `{report.session}`",
                hint=f"look at them: `af-otel {place.look_at(report.session)}`",
            )
        lost_behind = broken.at_collector or (in_store == [] and broken.at_collector is None)
        raise _NotYet(
            broken.span,
            broken.problem[0].upper() + broken.problem[1:],
            where=f"session `{report.session}`" if report.session else "no session's id anywhere",
            about=TRACE_STORE if lost_behind and report.session else broken.service,
        )

    def _find_no_spans(self, step: Step) -> None:
        """Check what can be known of a store that cannot be asked: that the Collector has spans."""
        place = self._place
        if not place.heard():
            raise _NotYet(
                COLLECTOR, "No span has arrived at the Collector", where=place.collector()
            )
        self.report.collector = place.collector()
        step.detail = "the Collector has received some; the trace store cannot be asked"

    def _find_metrics(self, step: Step) -> None:
        prometheus = self._place.prometheus
        if not self.report.metrics:
            scheduler = next(
                (hop.service for hop in self._place.hops if hop.span == spans.COMPUTE_GRAPH), ""
            )
            self.report.metrics = metrics.wanted(
                self._spans, self._cells, self._tasks, scheduler, self._place.name
            )
        if metrics.look(prometheus, self.report.metrics, self._began_at):
            step.detail = f"{len(self.report.metrics)} have counted it"
            return
        broken = next(metric for metric in self.report.metrics if not metric.proven)
        raise _NotYet(
            broken.metric,
            f"`{broken.metric}` rose by {broken.increase:g} where {broken.expected:g} was done",
            where=f"`{broken.promql}` at {prometheus.access.called or prometheus.url}",
            about=COLLECTOR,
        )

    def _look(self, name: str, look: Callable[[Step], None]) -> None:
        """Look again and again, until all is there, patience ends, or it is in vain."""
        with self._step(name, COLLECTOR) as step:
            deadline = min(self._deadline, time.monotonic() + self._place.patience)
            while True:
                try:
                    look(step)
                except BackendError as error:
                    hop = PROMETHEUS if error.server == "Prometheus" else TRACE_STORE
                    missing = _NotYet(hop, error.what, where=error.where, about=hop)
                except _NotYet as error:
                    missing = error
                else:
                    return
                if time.monotonic() > deadline or (missing.about and self._silent(missing.about)):
                    # What is to be read may have to be fetched, so it is only now.
                    missing.hint = missing.hint or self._place.advice(missing.about or COLLECTOR)
                    raise missing
                self._changed(self.report)
                time.sleep(self._place.poll)

    def _silent(self, about: str) -> bool:
        try:
            return self._place.silent(about)
        except AfOtelError:  # who knows
            return False

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise AfOtelError(
                "The time for the whole verification is over",
                where=f"{time.monotonic() - self._began:.0f} s after its begin",
                hint="give it more with `--timeout`; is all very busy?",
            )
        return left

    def _say(self, step: Step, detail: str) -> None:
        step.detail = detail
        self._changed(self.report)

    @contextlib.contextmanager
    def _step(self, name: str, about: str) -> Iterator[Step]:
        step = next(step for step in self.report.steps if step.name == name)
        step.progress, step.began = "running", time.monotonic()
        self._changed(self.report)
        try:
            yield step
        except AfOtelError as error:
            step.progress = "failed"
            error.hint = error.hint or self._place.advice(about)
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
    """Something is missing, which may still be on its way; `about` is who may know where it is."""

    def __init__(self, hop: str, what: str, *, where: str, hint: str = "", about: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.hop = hop
        self.about = about
