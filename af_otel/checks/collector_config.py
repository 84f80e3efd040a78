"""Whether the Collector and nginx accept the configuration that an install gives them.

Which fields they know depends on their versions, so their own binaries validate it in the cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.checks import _listener
from af_otel.checks._probe import Failed
from af_otel.checks._registry import check
from af_otel.checks.finding import Finding
from af_otel.facility.collector import IMAGE, NGINX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks._probe import Ended
    from af_otel.checks.context import Context

_STARTED = 128  # exit codes from there on, and the two below, are not the binary's own
_NO_EXEC = {126, 127}


@check("Collector", "Can the Collector's image be pulled, and does it accept its configuration?")
def collector_accepts_its_configuration(context: Context) -> Iterator[Finding]:
    """A pod with that image runs `validate` on what install would give it."""
    image = context.facility.collector.image
    try:
        ended = _listener.pod(context).probe.ended("configuration")
    except Failed as error:
        if not error.image:
            raise
        yield Finding(
            "blocks",
            f"The Collector's image `{image}` cannot be pulled",
            error.where,
            "The Collector would not start",
            "# in facility.yaml: a mirror's name, or the Secret that opens the registry\n"
            f"collector: {{image: my-mirror/{IMAGE.partition('/')[2]}, "
            "pull_secrets: [my-registry]}",
        )
        return
    if ended.code == 0:
        return
    said = _message(ended)
    if ended.code in _NO_EXEC or ended.code >= _STARTED:
        yield Finding(
            "blocks",
            f"Image `{image}` does not run as a Collector",
            said[-600:],
            "The Collector would not start",
            f"# in facility.yaml\ncollector: {{image: {IMAGE}}}",
        )
        return
    yield Finding(
        "blocks",
        f"The Collector of image `{image}` refuses its configuration",
        said.removeprefix("Error: ")[:900],
        "It would not start. The image lacks a component, or is of another version",
        "# in facility.yaml, the version that the configuration is written for\n"
        f"collector: {{image: {IMAGE}}}",
    )


@check("Collector", "Can nginx's image be pulled, and does it accept its configuration?")
def nginx_accepts_its_configuration(context: Context) -> Iterator[Finding]:
    """A container with that image runs `nginx -t`."""
    limits = context.facility.collector.sender_limits
    if not limits.enabled:
        return
    cure = (
        "# in facility.yaml: another image, or no limits for each sender\n"
        "collector: {sender_limits: {image: %s}}\n"
        "collector: {sender_limits: {enabled: false}}"
    )
    try:
        ended = _listener.pod(context).probe.ended(_listener.NGINX)
    except Failed as error:
        if not error.image:
            raise
        yield Finding(
            "blocks",
            f"nginx's image `{limits.image}` cannot be pulled",
            error.where,
            "The Collector would receive nothing",
            cure % f"my-mirror/{NGINX.partition('/')[2]}",
        )
        return
    if ended.code != 0:
        yield Finding(
            "blocks",
            f"Image `{limits.image}` does not run as nginx with its configuration",
            _message(ended)[-600:],
            "The Collector would receive nothing",
            cure % NGINX,
        )


def _message(ended: Ended) -> str:
    return " ".join(ended.message.split()) or f"{ended.reason}, exit code {ended.code}"
