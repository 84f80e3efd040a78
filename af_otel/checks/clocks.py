"""Spans are put in order by the clocks of who sends them: with clocks apart, a cell ends before it
began, and Prometheus refuses samples from the future.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

from af_otel.checks import _look
from af_otel.checks._registry import check
from af_otel.checks.finding import Finding, Unchecked
from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context

APART = 5.0  # seconds; a probe's end is seen half a second late, the API's times are whole seconds
_HEARTBEAT = 40.0  # a node renews its lease every 10 s, and is not ready without after 40
_NODES = "kube-node-lease"


@check("Cluster", "Do the clocks of nodes, API server and this machine agree?")
def clocks_agree(context: Context) -> Iterator[Finding | Unchecked]:
    """Nodes' by their leases, pods' by probes, the API server's by what it wrote on those."""
    ahead = dict(_of_probes(context))
    try:
        ahead |= _of_nodes(context)
    except AfOtelError as error:
        yield Unchecked(f"the nodes' clocks: {error.what}", error.hint)
        if not ahead:
            yield Unchecked("the pods' clocks: no probe ran")
    for whose, apart in ahead.items():
        if abs(apart) > APART:
            yield Finding(
                "warns",
                f"The clock of {whose} is {abs(apart):.0f} s {_side(apart)} this machine's",
                "one of the two is wrong; `chronyc tracking` or `timedatectl` on both shows which",
                "Spans of a session would be out of order, and samples from the future refused",
                "timedatectl set-ntp true",
            )


def _of_probes(context: Context) -> Iterator[tuple[str, float]]:
    for view in _look.views(context):
        if view.created:
            yield "the API server", _seconds(view.created) - view.made
        if (clock := (view.found or {}).get("clock")) is not None:
            yield f"the node of a probe for {view.template.role}", float(clock) - view.seen


def _of_nodes(context: Context) -> dict[str, float]:
    ahead = {}
    leases = context.live.list("Lease", "coordination.k8s.io/v1", _NODES)
    now = time.time()
    for lease in leases:
        if renewed := lease["spec"].get("renewTime"):
            apart = _seconds(renewed) - now
            # An old one is a node that is gone, or a clock behind: that node's state says which.
            if apart > 0 or -apart > _HEARTBEAT:
                ahead[f"node `{lease['metadata']['name']}`"] = apart
    return ahead


def _side(apart: float) -> str:
    return "ahead of" if apart > 0 else "behind"


def _seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
