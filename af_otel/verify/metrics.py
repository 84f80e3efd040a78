"""The proof that Prometheus counted what the session did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import metrics, services

from af_otel.verify.report import MetricProof

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from af_otel.backends.prometheus import Prometheus
    from af_otel.backends.spans import Span


def wanted(
    spans: Sequence[Span] | None,
    cells: int,
    tasks: int,
    scheduler: str = services.DASK_SCHEDULER,
    facility: str = "",
) -> list[MetricProof]:
    """Return what must have been counted by the processes that the session's spans come from.

    The kernel is the session's alone, so its count is exact; others may use the hub and Dask, too.
    Where spans cannot be looked up (None), the counts are those of all of the facility's processes.
    """
    proofs = []
    done = [
        (metrics.SPAWN_DURATION, services.JUPYTERHUB, 1),
        (metrics.CELL_DURATION, services.JUPYTER_KERNEL, cells),
    ]
    if tasks:
        done.append((metrics.TASK_DURATION, scheduler, tasks))
    for instrument, service, expected in done:
        # As Prometheus has it: no dots, the unit spelt out; how often something was measured.
        # The instance is the resource's `service.instance.id`.
        series = instrument.name.replace(".", "_") + "_seconds_count"
        if spans is None:
            selector = f'job="{facility}/{service}"'
        else:
            instances = {span.instance for span in spans if span.service == service}
            selector = f'instance=~"{"|".join(sorted(instances))}"'
        proofs.append(
            MetricProof(
                metric=instrument.name,
                promql=f"sum({series}{{{selector}}})",
                expected=expected,
                exact=spans is not None and instrument is metrics.CELL_DURATION,
            )
        )
    return proofs


def look(prometheus: Prometheus, proofs: Iterable[MetricProof], since: float) -> bool:
    """Ask for each metric's rise since then; whether all are proven."""
    for proof in proofs:
        proof.increase = prometheus.total(proof.promql) - prometheus.total(proof.promql, at=since)
    return all(proof.proven for proof in proofs)
