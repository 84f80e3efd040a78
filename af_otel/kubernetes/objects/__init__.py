"""The objects of an installed facility: from the facility's file and facts about the cluster alone.

Everything here is pure, so that a plan can be shown, compared and tested without a cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Facts


def render(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return all objects in the order in which they are applied.

    What others need comes first; the injection policy is last, when all it hands out is there.
    """
    del facility, facts
    return []


def notes(facility: Facility, facts: Facts) -> list[str]:
    """Return what an operator should know of these objects before they say yes."""
    del facility, facts
    return []
