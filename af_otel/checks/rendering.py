"""What facility.yaml asks for may contradict itself, or this cluster, in ways that no single field
shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.checks._registry import check
from af_otel.checks.finding import Finding
from af_otel.errors import AfOtelError
from af_otel.kubernetes.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context


@check("Collector", "Can all objects be made of facility.yaml?")
def objects_can_be_made(context: Context) -> Iterator[Finding]:
    """They are rendered as install would, and thrown away."""
    try:
        assert context.rendered
    except ApiError:
        raise  # it was the cluster that did not answer
    except AfOtelError as error:
        yield Finding("blocks", error.what, error.where, "Nothing can be installed", error.hint)
