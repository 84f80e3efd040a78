"""What is injected, as a ConfigMap beside the pods that get it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from af_otel import payload as payloads
from af_otel.kubernetes.objects import _pod
from af_otel.kubernetes.objects._labels import metadata

if TYPE_CHECKING:
    from af_otel.facility import Facility


def payload_name(facility: Facility) -> str:
    """The name of the ConfigMap: by its content, so that pods never see half of an upgrade; and
    the facility's own, which may share a namespace with others.
    """
    digest = hashlib.sha256(payloads.archive() + _pod.unpack().encode()).hexdigest()
    return f"af-otel-{facility.name}-payload-{digest[:12]}"


def payload(facility: Facility) -> list[dict[str, Any]]:
    """Return the payload and the script that unpacks it, in every namespace with injected pods."""
    name = payload_name(facility)
    carried = payloads.configmap(name, facility.namespace, {"unpack.py": _pod.unpack()})
    return [
        carried
        | {"metadata": metadata(facility, name, namespace, "af-otel-payload"), "immutable": True}
        for namespace in facility.injected_namespaces
    ]
