"""The objects of an installed facility: from the facility's file and facts about the cluster alone.

Everything here is pure, so that a plan can be shown, compared and tested without a cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.kubernetes.objects.backends import backends
from af_otel.kubernetes.objects.grafana import grafana, urls
from af_otel.kubernetes.objects.monitors import monitors
from af_otel.kubernetes.objects.namespace import namespace
from af_otel.kubernetes.objects.network import policies
from af_otel.kubernetes.objects.rbac import access

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Facts


def render(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return all objects in the order in which they are applied.

    What others need comes first; the injection policy is last, when all it hands out is there.

    Raises
    ------
    AfOtelError
        The facility asks for what this cluster does not have.
    """
    return [
        *namespace(facility, facts),
        *access(facility),
        *policies(facility, facts),
        *backends(facility, facts),
        *grafana(facility, facts),
        *monitors(facility, facts),
    ]


def notes(facility: Facility, facts: Facts) -> list[str]:
    """Return what an operator should know of these objects before they say yes."""
    del facts
    made = []
    if facility.grafana.data_sources and not urls(facility):
        made.append("x")
    return made
