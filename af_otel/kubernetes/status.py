"""What is installed, and how that differs from what was: by the inventory, without a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from af_otel.kubernetes import inventory, plan, pods, wait

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.inventory import Inventory
    from af_otel.kubernetes.plan import Change
    from af_otel.kubernetes.pods import Pod, Role, State
    from af_otel.kubernetes.refs import Ref

ROLES: tuple[Role, ...] = ("hub", "user", "dask")
STATES: tuple[State, ...] = ("injected", "older", "before", "out", "blocked")


@dataclass(frozen=True)
class Status:
    """What there is of a facility.

    Parameters
    ----------
    drift
        Objects that are not as they were applied.
    waiting
        Workloads of ours that do not run as they should, and what they are at.
    """

    installed: Inventory
    drift: list[Change] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    waiting: dict[Ref, str] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        """Whether all is there, as it was applied, and runs."""
        return self.installed.state == "complete" and not (self.drift or self.waiting)

    @property
    def blocked(self) -> list[Pod]:
        """Pods that our init step keeps from starting."""
        return [pod for pod in self.pods if pod.state == "blocked"]

    def count(self, role: Role, state: State) -> int:
        """How many pods of a kind are in a state."""
        return sum((pod.role, pod.state) == (role, state) for pod in self.pods)


def read(cluster: Cluster, facility: Facility) -> Status | None:
    """The status of what is installed for a facility; None if nothing is."""
    installed = inventory.read(cluster, facility.namespace)
    if installed is None:
        return None
    revision = installed.current
    if revision is None:
        return Status(installed)
    objects = [obj for obj in revision.objects if not inventory.is_light(obj)]
    compared = plan.make(cluster, installed.facility, objects)
    drift = [change for change in compared.changes if change.action != "same"]
    drift += [plan.Change("create", ref) for ref in revision.payloads if cluster.get(ref) is None]
    payload = next((ref.name for ref in revision.payloads), "")
    return Status(
        installed,
        drift,
        pods.of(cluster, facility, payload),
        dict(_waiting(cluster, revision.refs)),
    )


def _waiting(cluster: Cluster, refs: list[Ref]) -> list[tuple[Ref, str]]:
    found = []
    for ref in refs:
        if ref.kind not in wait.WORKLOADS:
            continue
        workload = cluster.get(ref)
        if workload is not None and not wait.rolled_out(workload):
            found.append((ref, wait.doing(cluster, workload)))
    return found
