"""What an install made, kept in the cluster: all that `uninstall`, `status` and a way back need.

It is written before the first object is, and names every object that may be there: whatever ends
an install, the next one or `uninstall` knows what there is.
"""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from af_otel import __version__
from af_otel.errors import AfOtelError
from af_otel.kubernetes.ownership import FACILITY, MANAGED_BY, MANAGER, carries_payload
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster

NAME = "af-otel-inventory"
FORMAT = 1
_INDEX, _CURRENT, _PREVIOUS = "inventory.json", "current.json.gz", "previous.json.gz"


@dataclass(frozen=True)
class Revision:
    """A set of objects that was installed once.

    Parameters
    ----------
    facility
        The file that they were made of; it refers to secrets and has none.
    objects
        Their manifests; a payload's ConfigMap without the payload, which does not fit.
    """

    af_otel: str
    facility: dict[str, Any]
    applied: str
    objects: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, facility: Facility, objects: Sequence[Mapping[str, Any]]) -> Revision:
        """What this af-otel makes of a facility."""
        return cls(
            __version__,
            facility.model_dump(mode="json", by_alias=True),
            dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            tuple(_light(obj) for obj in objects),
        )

    @property
    def facility_hash(self) -> str:
        """The same for the same file."""
        return hashlib.sha256(json.dumps(self.facility, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def refs(self) -> list[Ref]:
        """Its objects, in the order in which they are applied."""
        return [Ref.of(obj) for obj in self.objects]

    @property
    def payloads(self) -> list[Ref]:
        """Its payloads' ConfigMaps: a way back needs them to be there still."""
        return [Ref.of(obj) for obj in self.objects if is_light(obj)]


@dataclass(frozen=True)
class Inventory:
    """What is in the cluster because of a facility.

    Parameters
    ----------
    refs
        Every object that may be there.
    state
        `applying` until all is as `current` says.
    """

    facility: str
    namespace: str
    refs: tuple[Ref, ...]
    state: Literal["applying", "complete", "removing"] = "applying"
    current: Revision | None = None
    previous: Revision | None = None

    def begin(self, revision: Revision, refs: Iterable[Ref]) -> Inventory:
        """The inventory from just before `revision` is applied."""
        current, previous = self.current, self.previous
        if self.state == "complete" and current and current.objects != revision.objects:
            previous = current
        known = dict.fromkeys([*refs, *self.refs])
        return replace(
            self, refs=tuple(known), state="applying", current=revision, previous=previous
        )

    def complete(self, refs: Iterable[Ref]) -> Inventory:
        """The inventory when all is applied, and what was not wanted any more is gone."""
        return replace(self, refs=tuple(dict.fromkeys(refs)), state="complete")

    def as_object(self) -> dict[str, Any]:
        """It as a Secret, as manifests hold passwords."""
        index = {
            "format": FORMAT,
            "facility": self.facility,
            "namespace": self.namespace,
            "state": self.state,
            "objects": [asdict(ref) for ref in self.refs],
        }
        data = {_INDEX: json.dumps(index, indent=1).encode()}
        for key, revision in ((_CURRENT, self.current), (_PREVIOUS, self.previous)):
            if revision is not None:
                # Without a time in it the same content is the same bytes.
                data[key] = gzip.compress(json.dumps(asdict(revision)).encode(), mtime=0)
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": NAME,
                "namespace": self.namespace,
                "labels": {
                    MANAGED_BY: MANAGER,
                    "app.kubernetes.io/part-of": MANAGER,
                    FACILITY: self.facility,
                },
            },
            "type": "af-otel.io/inventory",
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }

    @classmethod
    def from_object(cls, obj: Mapping[str, Any]) -> Inventory:
        """The inventory in a Secret.

        Raises
        ------
        AfOtelError
            It is damaged, or a newer af-otel wrote it.
        """
        where = f"Secret `{obj['metadata']['name']}` in `{obj['metadata']['namespace']}`"
        try:
            data = {key: base64.b64decode(value) for key, value in obj["data"].items()}
            index = json.loads(data[_INDEX])
            form = index["format"]
            if form == FORMAT:
                return cls(
                    index["facility"],
                    index["namespace"],
                    tuple(Ref(**each) for each in index["objects"]),
                    index["state"],
                    _revision(data.get(_CURRENT)),
                    _revision(data.get(_PREVIOUS)),
                )
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise AfOtelError(
                "The inventory of what is installed cannot be read",
                where=f"{where}: {type(error).__name__}: {error}",
                hint="delete that Secret and run `af-otel install` again: it finds its own objects",
            ) from error
        raise AfOtelError(
            f"The inventory is of format {form}, and this af-otel knows {FORMAT}",
            where=where,
            hint="use the af-otel that installed it, or a newer one",
        )


def read(cluster: Cluster, namespace: str) -> Inventory | None:
    """What is installed in a namespace; None if nothing is."""
    found = cluster.get(Ref("v1", "Secret", NAME, namespace))
    return None if found is None else Inventory.from_object(found)


def find(cluster: Cluster) -> list[Inventory]:
    """All that is installed in a cluster."""
    secrets = cluster.list("Secret", labels={MANAGED_BY: MANAGER}, fields=f"metadata.name={NAME}")
    return [Inventory.from_object(each) for each in secrets]


def _light(obj: Mapping[str, Any]) -> dict[str, Any]:
    if carries_payload(obj):
        obj = {key: value for key, value in obj.items() if key != "data"} | {"binaryData": {}}
    # As it will be read back, so that the two are equal.
    light: dict[str, Any] = json.loads(json.dumps(obj))
    return light


def is_light(obj: Mapping[str, Any]) -> bool:
    """Whether a manifest of a revision lacks the payload that it had."""
    return obj["kind"] == "ConfigMap" and obj.get("binaryData") == {}


def _revision(content: bytes | None) -> Revision | None:
    if content is None:
        return None
    said = json.loads(gzip.decompress(content))
    return Revision(said["af_otel"], said["facility"], said["applied"], tuple(said["objects"]))
