"""What has one of our names and is not ours is never touched, so it would stop an install."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.checks._registry import check
from af_otel.checks.finding import Finding
from af_otel.kubernetes import ownership
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context


@check("Cluster", "Are our names free, or taken by ourselves?")
def our_names_are_free(context: Context) -> Iterator[Finding]:
    """Each object that is rendered is looked up."""
    others: dict[str, list[Ref]] = {}
    for obj in context.rendered:
        there = context.live.get(obj)
        if there is None or obj["kind"] == "Namespace":
            continue
        owner, ref = ownership.owner(there), Ref.of(obj)
        if owner is None:
            where = f" -n {ref.namespace}" if ref.namespace else ""
            yield Finding(
                "blocks",
                f"{ref} is there, and af-otel has not made it",
                f"it has no label `{ownership.MANAGED_BY}: {ownership.MANAGER}`",
                "An install never changes what is not its own, and would stop there",
                f"# if nobody needs it\nkubectl delete {ref.kind.lower()} {ref.name}{where}",
            )
        elif owner != context.facility.name:
            others.setdefault(owner, []).append(ref)
    for owner, refs in others.items():
        yield _others(context, owner, refs)


def _others(context: Context, owner: str, refs: list[Ref]) -> Finding:
    facility = context.facility
    mine = any(ref.namespace == facility.namespace for ref in refs)
    more = f", and {len(refs) - 1} more" if len(refs) > 1 else ""
    return Finding(
        "blocks",
        f"Facility `{owner}` is installed where this one would be",
        f"{refs[0]}{more}; label `{ownership.FACILITY}`",
        "Two facilities at one place would overwrite each other",
        f"# in facility.yaml, a namespace for each\nnamespace: af-otel-{facility.name}"
        if mine
        else f"af-otel uninstall  # with the facility.yaml of `{owner}`, or its `name` in this one",
    )
