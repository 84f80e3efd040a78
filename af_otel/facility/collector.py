"""The Collector of a facility: its image, its size, where it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from af_otel.facility._part import Mistake, Part
from af_otel.facility.values import (
    Between,
    Bytes,
    Cores,
    Image,
    LabelKey,
    Labels,
    LabelValue,
    ObjectName,
    Volume,
    amount,
    wrong,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = "otel/opentelemetry-collector-contrib:0.159.0"
NGINX = "nginxinc/nginx-unprivileged:1.28.0-alpine"


class Requests(Part):
    """What the Collector's container is sure to get."""

    cpu: Cores = "100m"
    """Processor, in cores."""
    memory: Annotated[Bytes, AfterValidator(Between(amount, "1Mi", "1Ti"))] = "512Mi"
    """Memory."""


class Ceilings(Part):
    """What the Collector's container may use."""

    cpu: Cores | None = None
    """Processor, in cores; none by default, as a limit slows it when it is needed most."""
    # It takes 110 MB to begin with, and refuses all data where that is more than its share.
    memory: Annotated[Bytes, AfterValidator(Between(amount, "256Mi", "1Ti"))] = "1Gi"
    """Memory. The Collector refuses data at four fifths of it, before Kubernetes would kill it."""


class Resources(Part):
    """Processor and memory of the Collector."""

    requests: Requests = Field(default_factory=Requests)
    """What it is sure to get."""
    limits: Ceilings = Field(default_factory=Ceilings)
    """What it may use."""

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        """What cannot be as it is written, though each field of it could."""
        for name in ("cpu", "memory"):
            try:
                asked = amount(_quantity(written, "requests", name))
                most = amount(_quantity(written, "limits", name))
            except (AssertionError, KeyError, TypeError):
                continue
            if asked > most:
                yield (
                    ("requests", name),
                    wrong(f"More than `limits.{name}`: no node would take the pod"),
                )


def _quantity(written: dict[str, Any], section: str, name: str) -> str:
    defaults: dict[str, Part] = {"requests": Requests(), "limits": Ceilings()}
    return str((defaults[section].model_dump() | written.get(section, {}))[name])


class Storage(Part):
    """The queue on disk: what the destinations did not take yet survives a restart."""

    size: Volume = "5Gi"
    """Size of the volume."""
    storage_class: ObjectName | None = Field(default=None, alias="class")
    """Storage class; the cluster's default one if left out."""


class Toleration(Part):
    """A taint that does not keep the Collector off a node, as in a pod's `tolerations`."""

    key: LabelKey | None = None
    """Key of the taint; every one if left out, with `operator: Exists`."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether `value` counts."""
    value: LabelValue | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; every one if left out."""
    toleration_seconds: int | None = Field(default=None, alias="tolerationSeconds")
    """How long a taint of effect `NoExecute` is tolerated."""

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        """What cannot be as it is written, though each field of it could."""
        exists = written.get("operator") == "Exists"
        if not exists and not written.get("key"):
            yield (), wrong("Without a `key`, `operator` is `Exists`", write="operator: Exists")
        if exists and written.get("value"):
            yield (
                ("value",),
                wrong("With `operator: Exists`, no value counts", write="operator: Equal"),
            )
        if written.get("tolerationSeconds") and written.get("effect") != "NoExecute":
            yield (
                ("tolerationSeconds",),
                wrong("Counts with `effect: NoExecute` only", write="effect: NoExecute"),
            )


class SenderLimits(Part):
    """nginx before the Collector, so that no pod takes up the share of others."""

    enabled: bool = True
    """Whether each pod's requests are limited in number and in what is handled at once."""
    image: Image = NGINX
    """Its image: nginx 1.20 or later, which needs no root."""


class Collector(Part):
    """The OpenTelemetry Collector that all telemetry goes through."""

    image: Image = IMAGE
    """Its image: the contrib distribution, or one that has the components of
    `collector-config/builder.yaml`; a mirror's name will do.
    """
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When the image is pulled."""
    pull_secrets: list[ObjectName] = Field(default_factory=list, examples=[["my-registry"]])
    """Secrets in the facility's `namespace` with which it is pulled."""
    resources: Resources = Field(default_factory=Resources)
    """Processor and memory."""
    storage: Storage = Field(default_factory=Storage)
    """The queue on disk."""
    sender_limits: SenderLimits = Field(default_factory=SenderLimits)
    """Limits for each pod that sends."""
    node_selector: Labels = Field(
        default_factory=dict, examples=[{"hub.jupyter.org/node-purpose": "core"}]
    )
    """Labels of the nodes that it may run on."""
    tolerations: list[Toleration] = Field(
        default_factory=list,
        examples=[[{"key": "hub.jupyter.org/dedicated", "value": "core", "effect": "NoSchedule"}]],
    )
    """Taints that do not keep it off a node."""
