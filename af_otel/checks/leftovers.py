"""Probes are removed when they have answered, also on Ctrl-C; a killed run cannot do that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.checks import _probe
from af_otel.checks._registry import check
from af_otel.checks.context import PROBE
from af_otel.checks.finding import Finding
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context


@check("Cluster", "Has an earlier run of these checks left anything behind?")
def no_probes_are_left(context: Context) -> Iterator[Finding]:
    """Objects with our label of a run that is over; pods have ended by themselves by then."""
    mine = context.probes.run if context.probes else ""
    namespaces = dict.fromkeys([*context.facility.injected_namespaces, context.facility.namespace])
    left = [
        obj
        for obj in _probe.left(context.live, list(namespaces))
        if obj["metadata"]["labels"][PROBE] != mine and _is_over(obj)
    ]
    if left:
        names = ", ".join(str(Ref.of(obj)) for obj in left[:5])
        yield Finding(
            "info",
            f"{len(left)} object(s) of an earlier `af-otel validate` are still there",
            names,
            "It was killed; they do nothing any more",
            "af-otel validate --fix",
            [{**obj, "metadata": {**obj["metadata"], "deletionTimestamp": "now"}} for obj in left],
        )


def _is_over(obj: dict[str, object]) -> bool:
    """Not of a run that goes on at the same time."""
    status = obj.get("status")
    phase = status.get("phase") if isinstance(status, dict) else None
    return obj["kind"] != "Pod" or phase in {"Succeeded", "Failed"}
