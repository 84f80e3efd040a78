"""What all bills of materials have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6

from af_otel import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cyclonedx.model.license import License


def render(subject: Component, components: Iterable[Component]) -> str:
    """Return the bill of materials of a subject as CycloneDX JSON.

    Parameters
    ----------
    subject
        What the bill of materials is of.
    components
        All that is in it.
    """
    bom = Bom(components=list(components))
    bom.metadata.component = subject
    bom.metadata.tools.components.add(
        Component(name="af-otel", version=__version__, type=ComponentType.APPLICATION)
    )
    bom.register_dependency(subject, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def licence(expression: str) -> License | None:
    """Return a licence for an SPDX expression or another name, and None for an empty string."""
    return LicenseFactory().make_from_string(expression) if expression else None
