"""The facility's own namespace, where there is none yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.kubernetes.objects._labels import metadata

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Facts

# All our pods keep to it, and whatever else should ever run here has to.
SECURITY = {
    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")
}


def namespace(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return the Namespace, unless somebody else made it: then its labels are theirs."""
    if facts.namespace_exists:
        return []
    made = metadata(facility, facility.namespace)
    made["labels"] |= SECURITY
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": made}]
