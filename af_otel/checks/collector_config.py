"""A Collector refuses to start with a configuration that it does not understand, and which fields
it knows depends on its version: so its own binary is asked, where it will run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.checks import _listener
from af_otel.checks._probe import Failed
from af_otel.checks._registry import check
from af_otel.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context

_STARTED = 128  # exit codes from there on, and the two below, are not the binary's own
_NO_EXEC = {126, 127}


@check("Collector", "Can the Collector's image be pulled, and does it accept its configuration?")
def collector_accepts_its_configuration(context: Context) -> Iterator[Finding]:
    """A pod with that image runs `validate` on what install would give it."""
    image = context.facility.collector.image
    made = _listener.pod(context)
    try:
        ended = made.probe.ended("configuration")
    except Failed as error:
        if not error.image:
            raise
        yield Finding(
            "blocks",
            f"The Collector's image `{image}` cannot be pulled",
            error.where,
            "The Collector would not start",
            "# in facility.yaml: a mirror's name, or the Secret that opens the registry\n"
            "collector: {image: my-mirror/opentelemetry-collector-contrib:0.159.0, "
            "pull_secrets: [my-registry]}",
        )
        return
    if ended.code == 0:
        return
    said = " ".join(ended.message.split()) or f"{ended.reason}, exit code {ended.code}"
    if ended.code in _NO_EXEC or ended.code >= _STARTED:
        yield Finding(
            "blocks",
            f"Image `{image}` does not run as a Collector",
            said[-600:],
            "The Collector would not start",
            "# in facility.yaml\ncollector: {image: otel/opentelemetry-collector-contrib:0.159.0}",
        )
        return
    yield Finding(
        "blocks",
        f"The Collector of image `{image}` refuses its configuration",
        said.removeprefix("Error: ")[:900],
        "It would not start. The image lacks a component, or is of another version",
        "# in facility.yaml, the version that the configuration is written for\n"
        "collector: {image: otel/opentelemetry-collector-contrib:0.159.0}",
    )
