"""Injection by policy needs a MutatingAdmissionPolicy, which Kubernetes has since 1.36; before, the
charts' values have to do it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.checks._registry import check
from af_otel.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context

OLDEST = (1, 29)
_API, _KIND = "admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy"


@check("Cluster", "Does this Kubernetes allow the wanted way of injection?")
def kubernetes_allows_the_route(context: Context) -> Iterator[Finding]:
    """Asked of the API itself: a version alone does not tell what is switched on."""
    cluster, route = context.live, context.facility.injection.route
    version = ".".join(map(str, cluster.version))
    if cluster.version < OLDEST:
        yield Finding(
            "blocks",
            f"Kubernetes {version} is too old",
            f"`{cluster.host}`; the oldest supported is {'.'.join(map(str, OLDEST))}",
            "Objects of ours use fields that it does not know",
        )
    if route in {"helm", "env"} or cluster.serves(_API, _KIND):
        return
    yield Finding(
        "blocks" if route == "policy" else "warns",
        f"This cluster (Kubernetes {version}) serves no `{_KIND}` of `{_API}`",
        f"`{cluster.host}`; it comes with Kubernetes 1.36",
        "`install --route policy` is impossible"
        if route == "policy"
        else "`install` injects nothing by itself here: it writes values for your charts instead",
        "# in facility.yaml, to say that this is known\ninjection: {route: helm}",
    )
