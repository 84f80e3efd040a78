"""What of a cluster decides which objects a facility needs there."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from af_otel.facility import Facility

# The first Kubernetes whose API has MutatingAdmissionPolicies for good.
POLICIES_SINCE = (1, 36)


@dataclass(frozen=True)
class Workload:
    """The Deployment or StatefulSet that runs the hub, and its service account."""

    name: str
    account: str


@dataclass(frozen=True)
class Facts:
    """Read from the cluster once, before anything is rendered; the defaults are an empty cluster's.

    Parameters
    ----------
    version
        Of Kubernetes, major and minor.
    namespace_exists
        `facility.namespace` is there and somebody else made it, so that it is not rendered.
    storage
        A claim would be served: the class that the facility names is there, or there is a default.
    claims
        Names of the facility's PersistentVolumeClaims that exist, which are used in any case.
    network_policies
        Every NetworkPolicy of `namespaces(facility)` that is not ours, as the API gives it:
        only beside a policy that isolates pods may another one open the way to the Collector.
    monitors
        The kinds there are of `monitoring.coreos.com/v1`: `ServiceMonitor`, `PodMonitor`.
    hub
        The Deployment or StatefulSet that runs the hub, if it was found.
    grafana_password
        What is in the Secret `af-otel-grafana`, where it is there, so that it stays.
    """

    version: tuple[int, int] = (1, 36)
    namespace_exists: bool = False
    storage: bool = False
    claims: frozenset[str] = frozenset()
    network_policies: tuple[dict[str, Any], ...] = ()
    monitors: frozenset[str] = frozenset()
    hub: Workload | None = None
    grafana_password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)


def namespaces(facility: Facility) -> list[str]:
    """The namespaces whose NetworkPolicies say what a facility's pods and our Collector may do."""
    return list(dict.fromkeys([*facility.injected_namespaces, facility.namespace]))


def route(facility: Facility, facts: Facts) -> str:
    """How the facility's pods are injected: `policy`, `helm` or `env`."""
    wanted = facility.injection.route
    if wanted != "auto":
        return wanted
    return "policy" if facts.version >= POLICIES_SINCE else "helm"
