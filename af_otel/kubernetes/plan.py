"""What would become of the cluster's objects: asked of the API server itself, by dry run."""

from __future__ import annotations

import difflib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import yaml

from af_otel.errors import AfOtelError
from af_otel.kubernetes import claims
from af_otel.kubernetes.errors import ApiError, Conflict, Forbidden, NotFound
from af_otel.kubernetes.ownership import cleaned, masked, owner
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from af_otel.kubernetes.client import Cluster

Action = Literal["create", "change", "same", "delete", "foreign"]
_AT_ONCE = 8  # requests; a cluster far away answers each in a tenth of a second


@dataclass(frozen=True)
class Change:
    """What would become of one object.

    Parameters
    ----------
    action
        `foreign`: one of this name is there, and not ours to change.
    desired
        What is applied.
    live, after
        What is there, and what would be; without what the API server writes.
    owners
        Fields that others set since, by field: taken back only if that is wanted.
    why
        What makes an object foreign.
    """

    action: Action
    ref: Ref
    desired: Mapping[str, Any] | None = None
    live: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    owners: Mapping[str, str] | None = None
    why: str = ""

    @property
    def diff(self) -> list[str]:
        """The lines of a unified diff; no secrets."""
        before = masked(self.live) if self.live else None
        after = masked(self.after, self.live) if self.after else None
        if self.action == "same":
            return []
        lines = difflib.unified_diff(_lines(before), _lines(after), "now", "then", lineterm="")
        return list(lines)[2:]

    def as_json(self) -> dict[str, Any]:
        """All of it that may be shown."""
        return {
            "action": self.action,
            "apiVersion": self.ref.api_version,
            "kind": self.ref.kind,
            "namespace": self.ref.namespace or None,
            "name": self.ref.name,
            "owners": dict(self.owners or {}),
            "why": self.why,
            "diff": self.diff,
        }


@dataclass(frozen=True)
class Plan:
    """Changes in the order in which they are made."""

    facility: str
    changes: tuple[Change, ...]

    def of(self, *actions: Action) -> list[Change]:
        """The changes of some kinds."""
        return [change for change in self.changes if change.action in actions]

    @property
    def empty(self) -> bool:
        """Whether all is as it should be."""
        return all(change.action == "same" for change in self.changes)

    @property
    def conflicts(self) -> list[Change]:
        """Objects of ours of which others have set fields."""
        return [change for change in self.changes if change.owners]


def make(
    cluster: Cluster,
    facility: str,
    wanted: Sequence[Mapping[str, Any]],
    installed: Iterable[Ref] = (),
    kept: Iterable[Ref] = (),
) -> Plan:
    """Compare what is wanted with what is there.

    Parameters
    ----------
    installed
        What may be there from before; what of it is not wanted any more is to go.
    kept
        What of it stays although it is not wanted, for the way back.

    Raises
    ------
    Forbidden
        Rights are lacking; all of them are named.
    """
    refs = [Ref.of(obj) for obj in wanted]
    stay = {*refs, *kept}
    gone = [ref for ref in installed if ref not in stay]
    missing = {
        ref.name
        for ref in refs
        if (ref.api_version, ref.kind) == ("v1", "Namespace") and cluster.get(ref) is None
    }
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        changes: list[Change | Forbidden | None] = []
        changes += pool.map(lambda obj: _attempt(cluster, facility, obj, missing), wanted)
        # The other way round: what hangs on an object goes before it.
        changes += pool.map(lambda ref: _removed(cluster, facility, ref), reversed(gone))
    refused = [each for each in changes if isinstance(each, Forbidden)]
    if refused:
        raise _all_of(refused)
    return Plan(facility, tuple(each for each in changes if isinstance(each, Change)))


def _attempt(
    cluster: Cluster, facility: str, obj: Mapping[str, Any], missing: set[str]
) -> Change | Forbidden:
    try:
        return _compared(cluster, facility, obj, missing)
    except Forbidden as error:
        return error


def _compared(cluster: Cluster, facility: str, obj: Mapping[str, Any], missing: set[str]) -> Change:
    ref = Ref.of(obj)
    if ref.namespace in missing:
        # A dry run would not find the namespace, which is to be made, either.
        return Change("create", ref, obj, after=cleaned(obj))
    live = cluster.get(ref)
    if live is None:
        return Change("create", ref, obj, after=cleaned(_tried(cluster, obj, force=False)))
    whose = owner(live)
    if whose != facility:
        why = f"facility `{whose}` has it" if whose else "it was not made by af-otel"
        return Change("foreign", ref, obj, live=cleaned(live), why=why)
    if ref.kind == claims.KIND:
        claims.refuse_what_cannot_be(cluster, obj, live)
    owners: dict[str, str] = {}
    try:
        after = _tried(cluster, obj, force=False)
    except Conflict as conflict:
        owners = conflict.owners
        if not owners:
            raise
        after = _tried(cluster, obj, force=True)
    before, then = cleaned(live), cleaned(after)
    return Change("same" if before == then else "change", ref, obj, before, then, owners)


def _tried(cluster: Cluster, obj: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
    try:
        return cluster.apply(obj, dry_run=True, force=force)
    except NotFound as error:
        raise AfOtelError(
            f"{Ref.of(obj)} has no place to be in",
            where=error.where or error.what,
            hint=f"is the namespace `{Ref.of(obj).namespace}` the right one in facility.yaml?",
        ) from error


def _removed(cluster: Cluster, facility: str, ref: Ref) -> Change | Forbidden | None:
    try:
        live = cluster.get(ref)
    except Forbidden as error:
        return error
    if live is None or owner(live) != facility:
        return None  # gone already, or another's by now
    return Change("delete", ref, live=cleaned(live))


def _all_of(refused: Sequence[Forbidden]) -> AfOtelError:
    """One error that names every right that lacks."""
    if len(refused) == 1:
        return refused[0]
    wheres = dict.fromkeys(error.what[0].lower() + error.what[1:] for error in refused)
    rules = dict.fromkeys(error.hint for error in refused if error.hint)
    return ApiError(
        f"Your rights do not suffice: {len(refused)} of the objects cannot be read or tried",
        where="; ".join(wheres),
        hint="; ".join(rules),
        status=403,
        reason="Forbidden",
    )


def _lines(obj: Mapping[str, Any] | None) -> list[str]:
    if obj is None:
        return []
    text: str = yaml.dump(
        dict(obj), Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True
    )
    return text.splitlines()


class _Dumper(yaml.SafeDumper):
    """Files inside objects stay lines, so that a diff shows those that differ."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
