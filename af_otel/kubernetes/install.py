"""An install from its plan to its end: apply, wait, inject, restart the hub.

What injects comes last: until then nothing of the facility's own notices anything, and a Collector
that cannot start has no one waiting for it.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.kubernetes import apply, claims, facts, inventory, plan, proof, pulls, restart, wait
from af_otel.kubernetes.errors import Forbidden
from af_otel.kubernetes.inventory import Inventory, Revision
from af_otel.kubernetes.objects import notes, render
from af_otel.kubernetes.objects.injection import policy
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Sequence

    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.plan import Change, Plan
    from af_otel.kubernetes.progress import Progress


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before the first change.

    Parameters
    ----------
    before, during, after
        The inventory of what is installed, if anything is; what is found if this is interrupted;
        and what it leaves.
    hub
        The hub's pods that a restart gives what is installed by then.
    """

    facility: Facility
    before: Inventory | None
    during: Inventory
    after: Inventory
    plan: Plan
    payload: str
    hub: Sequence[dict[str, Any]]
    notes: Sequence[str] = ()

    @property
    def injects(self) -> bool:
        """Whether a policy injects; else it is the charts' values or the pod templates that do."""
        return any(apply.is_injection(change) for change in self.plan.changes)

    @property
    def nothing_to_do(self) -> bool:
        """Whether all is there as it should be."""
        return self.plan.empty and self.before == self.after


@dataclass
class Outcome:
    """How an install went.

    Parameters
    ----------
    pulled
        Seconds of it in which images were pulled.
    """

    seconds: float = 0.0
    pulled: float = 0.0
    restarted: int = 0
    applied: list[Ref] = field(default_factory=list)


def prepare(cluster: Cluster, facility: Facility) -> Prepared:
    """Render, compare, and change nothing.

    Raises
    ------
    AfOtelError
        Something else is installed there, or rights are lacking.
    """
    before = _installed(cluster, facility)
    known = facts.read(cluster, facility)
    objects = render(facility, known)
    return _prepared(
        cluster, facility, before, Revision.of(facility, objects), objects, notes(facility, known)
    )


def prepare_rollback(cluster: Cluster, facility: Facility, before: Inventory) -> Prepared:
    """Compare with what was installed before, from the inventory.

    Raises
    ------
    AfOtelError
        There is nothing to go back to, or its payload is gone.
    """
    revision = before.previous
    if revision is None:
        raise AfOtelError(
            "There is nothing to go back to",
            where=f"the inventory in `{before.namespace}` knows one version only",
            hint="`af-otel install` with an older facility.yaml goes back as well",
        )
    gone = [ref for ref in revision.payloads if cluster.get(ref) is None]
    if gone:
        raise AfOtelError(
            "The payload to go back to is not there any more",
            where=", ".join(map(str, gone)),
            hint=f"install it with af-otel {revision.af_otel}",
        )
    objects = [obj for obj in revision.objects if not inventory.is_light(obj)]
    objects = claims.as_they_are(cluster, objects)
    return _prepared(cluster, facility, before, revision, objects, ())


def _prepared(
    cluster: Cluster,
    facility: Facility,
    before: Inventory | None,
    revision: Revision,
    objects: Sequence[dict[str, Any]],
    said: Sequence[str],
) -> Prepared:
    # Should a trial of the policy be cut off, the next run finds what it left.
    trial = [Ref.of(each) for each in policy(facility, "", trial="any")]
    during = (before or Inventory(facility.name, facility.namespace, ())).begin(
        revision, [*revision.refs, *trial]
    )
    # A revision's payload is not in its manifests; that of the one before is for the way back.
    spare = during.previous.payloads if during.previous else []
    there = before.refs if before else ()
    kept = [ref for ref in spare if ref in there]
    # Whatever becomes of their servers, the data stay. `uninstall` takes them, and says so.
    kept += [ref for ref in there if ref.kind == claims.KIND and ref not in revision.refs]
    made = plan.make(
        cluster,
        facility.name,
        objects,
        installed=there,
        kept=[*revision.payloads, *kept],
    )
    after = during.complete([*revision.refs, *kept])
    if before is not None and before.current and _same(before.current, revision):
        after = replace(after, current=before.current)  # since the time at which that was applied
    payload = next((ref.name for ref in revision.payloads), "")
    injects = any(ref.kind in apply.INJECTION for ref in revision.refs)
    hub = restart.outdated(cluster, facility, payload) if injects else []
    return Prepared(facility, before, during, after, made, payload, hub, tuple(said))


def _same(first: Revision, second: Revision) -> bool:
    return (first.af_otel, first.facility, first.objects) == (
        second.af_otel,
        second.facility,
        second.objects,
    )


def _installed(cluster: Cluster, facility: Facility) -> Inventory | None:
    before = inventory.read(cluster, facility.namespace)
    if before is not None and before.facility != facility.name:
        raise AfOtelError(
            f"Facility `{before.facility}` is installed in namespace `{facility.namespace}`",
            where=f"this one is `{facility.name}`",
            hint="choose another `namespace` in facility.yaml, or uninstall that one first",
        )
    try:
        found = inventory.find(cluster)
    except Forbidden:
        return before  # who may not see other namespaces' Secrets will not find one there, either
    for other in found:
        if other.facility == facility.name and other.namespace != facility.namespace:
            raise AfOtelError(
                f"Facility `{facility.name}` is installed in namespace `{other.namespace}`",
                where=f"facility.yaml says `namespace: {facility.namespace}`",
                hint=f"`af-otel uninstall --namespace {other.namespace}` first, or set it back",
            )
    return before


def carry_out(
    cluster: Cluster,
    prepared: Prepared,
    progress: Progress,
    *,
    timeout: float,
    take_back: bool = False,
    restart_hub: bool = True,
) -> Outcome:
    """Make it so; doing it again completes what was interrupted."""
    began, since = time.monotonic(), dt.datetime.now(dt.timezone.utc)
    facility, changes = prepared.facility, prepared.plan.changes
    apply.refuse_what_stands_in_the_way(prepared.plan, take_back=take_back)
    place = [each for each in changes if each.ref.kind == "Namespace"]
    inject = [each for each in changes if apply.is_injection(each)]
    guard = [each for each in changes if apply.is_guard(each)]
    rest = [each for each in changes if each not in [*place, *inject, *guard]]
    apply.objects(cluster, place, progress, take_back=take_back)
    if not prepared.nothing_to_do:
        apply.inventory(cluster, prepared.during, progress)
    apply.objects(cluster, rest, progress, take_back=take_back)
    wanted = [change.ref for change in rest if change.desired is not None]
    wait.workloads(cluster, wanted, progress, timeout)
    _guard(cluster, prepared, guard, progress, take_back=take_back)
    _inject(cluster, prepared, inject, progress, take_back=take_back)
    apply.deletions(cluster, changes, progress)
    if not prepared.nothing_to_do:
        apply.inventory(cluster, prepared.after, progress)
    if prepared.hub and restart_hub:
        restart.hub(
            cluster,
            facility,
            prepared.payload,
            prepared.hub,
            progress,
            lambda: undo(cluster, prepared, progress),
        )
    places = {change.ref.namespace for change in rest if change.ref.namespace}
    return Outcome(
        time.monotonic() - began,
        pulls.seconds(cluster, {*places, facility.hub.namespace}, since),
        len(prepared.hub) if restart_hub else 0,
        [change.ref for change in prepared.plan.of("create", "change")],
    )


def _guard(
    cluster: Cluster,
    prepared: Prepared,
    changes: Sequence[Change],
    progress: Progress,
    *,
    take_back: bool,
) -> None:
    """Put the policy that protects identity in force, and wait until it refuses forgeries."""
    apply.objects(cluster, changes, progress, take_back=take_back)
    if any(each.action in {"create", "change"} for each in changes):
        with progress.step("wait until forged identities are refused"):
            wrong = progress.patiently(proof.prove_guard, cluster, prepared.facility)
            if wrong:
                undo(cluster, prepared, progress)
            _refuse(wrong)


def _inject(
    cluster: Cluster,
    prepared: Prepared,
    changes: Sequence[Change],
    progress: Progress,
    *,
    take_back: bool,
) -> None:
    """Put the policy in force: tried on pods that are never made, then proven on such."""
    changed = [each for each in changes if each.action in {"create", "change"}]
    if changed:
        with progress.step("try the injection policy"):
            # Only with a payload that is there: of another revision the policy is an older one.
            wrong = progress.patiently(
                proof.try_injection, cluster, prepared.facility, prepared.payload
            )
            _refuse(wrong)
    apply.objects(cluster, changes, progress, take_back=take_back)
    if changed or (changes and prepared.hub):
        with progress.step("wait until pods are injected"):
            wrong = progress.patiently(
                proof.prove_injection, cluster, prepared.facility, payload=prepared.payload
            )
            if wrong:
                undo(cluster, prepared, progress)
            _refuse(wrong)


def _refuse(wrong: Sequence[AfOtelError]) -> None:
    if wrong:
        first, *others = wrong
        also = [f"also: {error.what}" for error in others]
        raise AfOtelError(
            first.what,
            where="\n         ".join([*([first.where] if first.where else []), *also]),
            hint="nothing is injected; what is applied besides stays"
            + (f". {first.hint[0].upper()}{first.hint[1:]}" if first.hint else ""),
        )


def undo(cluster: Cluster, prepared: Prepared, progress: Progress) -> None:
    """Delete the policies, which change and refuse pods; the next install puts them back."""
    for change in reversed(prepared.plan.changes):
        if apply.is_injection(change) or apply.is_guard(change):
            apply.delete(cluster, change.ref, progress)
    # Admission goes by what it knew for some seconds more: pods would still be injected.
    progress.patiently(proof.prove_removal, cluster, prepared.facility)
