"""Carry out a plan: in order, each step one that may be repeated, the inventory before all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError
from af_otel.kubernetes.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.inventory import Inventory
    from af_otel.kubernetes.plan import Change, Plan
    from af_otel.kubernetes.progress import Progress
    from af_otel.kubernetes.refs import Ref

INJECTION = {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}
GUARD = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


def refuse_what_stands_in_the_way(plan: Plan, *, take_back: bool) -> None:
    """End before anything is changed.

    Raises
    ------
    AfOtelError
        Objects of our names are somebody else's, or somebody set fields of ours.
    """
    foreign = plan.of("foreign")
    if foreign:
        raise AfOtelError(
            f"{_count(foreign, 'object')} in the way: "
            + "; ".join(f"{each.ref} is there, and {each.why}" for each in foreign),
            where="what has our names and not our labels is never changed",
            hint="rename or remove what is there, or change `name` or `namespace` in facility.yaml",
        )
    if plan.conflicts and not take_back:
        raise conflicted(plan.conflicts)


def conflicted(changes: Sequence[Change]) -> Conflict:
    """The error for fields of ours that others have set."""
    fields = [
        f"{change.ref}: `{field}` was set by `{manager}`"
        for change in changes
        for field, manager in (change.owners or {}).items()
    ]
    return Conflict(
        f"Somebody has changed {_count(changes, 'object')} of ours",
        where="; ".join(fields),
        hint="`--force-conflicts` sets them back; to keep such a change, make it in facility.yaml",
        status=409,
    )


def objects(
    cluster: Cluster, changes: Sequence[Change], progress: Progress, *, take_back: bool
) -> None:
    """Apply what is to be created or changed, in order."""
    todo = [change for change in changes if change.action in {"create", "change"}]
    if not todo:
        return
    with progress.step(f"apply {_count(todo, 'object')}") as step:
        for number, change in enumerate(todo, 1):
            progress.say(step, f"{number} of {len(todo)}: {change.ref}")
            _apply(cluster, change, progress, take_back=take_back)
        progress.say(step, "")


def _apply(cluster: Cluster, change: Change, progress: Progress, *, take_back: bool) -> None:
    desired = change.desired
    assert desired is not None
    try:
        progress.patiently(cluster.apply, desired, force=take_back)
    except Conflict as error:
        if not error.owners:
            raise
        raise AfOtelError(
            f"Somebody changed {change.ref} meanwhile",
            where="; ".join(f"`{field}`: `{who}`" for field, who in error.owners.items()),
            hint="run it again to see what they did",
        ) from error


def inventory(cluster: Cluster, made: Inventory, progress: Progress) -> None:
    """Write the inventory."""
    progress.patiently(cluster.apply, made.as_object(), force=True)


def deletions(cluster: Cluster, changes: Sequence[Change], progress: Progress) -> None:
    """Delete what is not wanted any more."""
    todo = [change for change in changes if change.action == "delete"]
    if not todo:
        return
    with progress.step(f"delete {_count(todo, 'object')}") as step:
        for change in todo:
            progress.say(step, str(change.ref))
            delete(cluster, change.ref, progress)
        progress.say(step, "")


def delete(cluster: Cluster, ref: Ref, progress: Progress) -> bool:
    """Delete one object; whether it was there."""
    return progress.patiently(cluster.delete, ref)


def is_injection(change: Change) -> bool:
    """Whether a change is of what injects: the last to come, and the first to go."""
    return change.ref.kind in INJECTION


def is_guard(change: Change) -> bool:
    """Return whether a change is of the policy that protects identity."""
    return change.ref.kind in GUARD


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}" + ("" if len(things) == 1 else "s")
