"""A verification on the terminal: its steps while they run, its proofs when they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from af_otel.backends.words import count, duration
from af_otel.cli._moving import Moving
from af_otel.local.view import called

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from af_otel.verify.report import Report, Step

_WIDE = 100  # columns; less has no room to say where each hop comes from
_DONE, _FAILED = Text("✓", style="green"), Text("✗", style="bold red")


class Steps(Moving):
    """The steps as one table on a terminal; elsewhere a line when one has ended."""

    def __init__(self, console: Console, facility: str) -> None:
        super().__init__(console)
        self._said: set[str] = set()
        self._report: Report | None = None
        console.print(f"Verifying facility `{facility}` as a user of it\n", highlight=False)

    def update(self, report: Report) -> None:
        """Show the verification as it is now."""
        self._report = report
        if self._live is not None:
            return
        for step in report.steps:
            if step.progress in {"done", "failed"} and step.name not in self._said:
                self._said.add(step.name)
                self._console.print(
                    f"{step.name}: {step.progress} after {_seconds(step)}  {step.detail}".rstrip(),
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )

    def _drawn(self) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True, min_width=7)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for step in self._report.steps if self._report else ():
            mark: RenderableType = {"done": _DONE, "failed": _FAILED}.get(step.progress, Text("·"))
            if step.progress == "running":
                mark = self._spinner
            style = "dim" if step.progress == "waiting" else ""
            table.add_row(
                mark, Text(step.name, style=style), _seconds(step), Text(step.detail, style="dim")
            )
        return table


def proofs(report: Report, width: int) -> RenderableType:
    """Each hop and metric, for so many columns."""
    parts: list[RenderableType] = [Text()]
    if report.hops:
        parts += [_hops(report, wide=width >= _WIDE), Text()]
    if report.metrics:
        parts += [_metrics(report), Text()]
    return Group(*parts)


def verdict(report: Report, look_at: str) -> RenderableType:
    """What a proven facility deserves to hear."""
    if report.unproven:
        line = Text("Everything that can be looked up is proven", style="bold yellow")
        line.append(
            f": {count(len(report.metrics), 'metric')}, in {report.seconds:.1f} s",
            style="not bold default",
        )
        lines = [line, Text(f"Not proven is {report.unproven}")]
    else:
        line = Text("Every hop is proven", style="bold green")
        line.append(
            f": {count(len(report.hops), 'hop')} across {report.processes} processes "
            f"and {count(len(report.metrics), 'metric')}, in {report.seconds:.1f} s",
            style="not bold default",
        )
        lines = [line]
    if report.collector:
        lines.append(Text(f"The Collector meanwhile, {report.collector}"))
    if not report.unproven:
        lines.append(Text(f"See the session: {called()} {look_at}"))
    return Group(*lines)


def _hops(report: Report, *, wide: bool) -> Table:
    store = report.store
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", width=1)
    table.add_column("hop", no_wrap=True)
    table.add_column("process", no_wrap=True)
    if wide:
        table.add_column("comes in as", no_wrap=True)
    table.add_column("spans", justify="right", no_wrap=True)
    table.add_column("longest", justify="right", no_wrap=True)
    keeps = any(hop.at_collector is not None for hop in report.hops)
    pods = any(hop.pods for hop in report.hops)
    if keeps:
        table.add_column("Collector", no_wrap=True)
    table.add_column(store, no_wrap=True)
    if pods:
        table.add_column("pod", no_wrap=True)
    for hop in report.hops:
        table.add_row(
            _DONE if hop.proven else _FAILED,
            hop.span,
            hop.service + (f" ({hop.processes})" if hop.processes > 1 else ""),
            *([hop.comes_from] if wide else []),
            str(hop.count),
            "" if hop.seconds is None else duration(hop.seconds),
            *([_seen(bool(hop.at_collector), hop.count)] if keeps else []),
            _seen(hop.in_store, hop.count),
            *([", ".join(hop.pods)] if pods else []),
        )
    return table


def _metrics(report: Report) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", width=1)
    table.add_column("metric in Prometheus", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("counted", justify="right", no_wrap=True)
    for metric in report.metrics:
        rise = "nothing" if metric.increase is None else f"{metric.increase:+,.0f}"
        table.add_row(
            _DONE if metric.proven else _FAILED, metric.metric, f"{metric.expected:,.0f}", rise
        )
    return table


def _seen(right: bool, spans: int) -> Text:
    return Text("right") if right else Text("wrong" if spans else "missing", style="bold red")


def _seconds(step: Step) -> str:
    return "" if step.elapsed is None else f"{step.elapsed:.1f} s"
