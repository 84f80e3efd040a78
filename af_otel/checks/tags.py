"""A tag such as `latest` is pushed again and again: after a restart a pod may run another version
than the one that was installed and tested.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from af_otel.checks._registry import check
from af_otel.checks.finding import Finding
from af_otel.facility.collector import IMAGE, NGINX
from af_otel.facility.options import BackendImages
from af_otel.kubernetes.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context

# A version, the number of a build or a date, or a commit. `3` alone is a series of releases.
_VERSION = re.compile(r"\d+\.\d+|\d{3}|\b(?=[a-f]*\d)[0-9a-f]{7,40}\b")
_MOVING = re.compile(r"(^|[-_.])(latest|nightly|edge)$")
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})$")


@check("Pods and images", "Do the images of an install stay the same?", source="files")
def images_are_pinned(context: Context) -> Iterator[Finding]:
    """Their tags in facility.yaml have to name a version; a digest is better still."""
    for field, image, default in _images(context):
        name, tag = _parts(image)
        if not is_moving(tag):
            continue
        parts = field.split(".")
        fixed, comment = _fixed(context, image, default)
        yield Finding(
            "warns",
            f"Tag `{tag}` of image `{name}` names no version",
            f"`{field}` in facility.yaml",
            "After a restart, the pod may run another version than the one that was tested",
            f"# in facility.yaml{comment}\n"
            + ": {".join(parts)
            + f": '{fixed}'"
            + "}" * (len(parts) - 1),
        )


def is_moving(tag: str) -> bool:
    """Return whether a tag is likely to be pushed again; an empty one stands for a digest."""
    return bool(tag) and (_VERSION.search(tag) is None or _MOVING.search(tag) is not None)


def _images(context: Context) -> Iterator[tuple[str, str, str]]:
    """Yield field, image and default of each image that an install deploys."""
    facility = context.facility
    yield "collector.image", facility.collector.image, IMAGE
    limits = facility.collector.sender_limits
    if limits.enabled:
        yield "collector.sender_limits.image", limits.image, NGINX
    defaults = BackendImages()
    for name in ("prometheus", "jaeger", "grafana"):
        image = getattr(facility.backends.images, name)
        if getattr(facility.backends, name) and image:
            yield f"backends.images.{name}", image, getattr(defaults, name) or ""


def _parts(image: str) -> tuple[str, str]:
    """Return name and tag of an image; no tag if there is a digest."""
    if "@" in image:
        return image, ""
    name, _, tag = image.rpartition(":")
    return name, tag


def _fixed(context: Context, image: str, default: str) -> tuple[str, str]:
    """Return a reference that stays the same, and what a comment has to say of it."""
    name, _ = _parts(image)
    if digest := _running(context, image):
        return f"{image}@{digest}", ": the version that runs now"
    default_name, tag = _parts(default)
    if name.rpartition("/")[2] == default_name.rpartition("/")[2]:
        return f"{name}:{tag}", ": the version that af-otel was tested with"
    inspect = f"`docker buildx imagetools inspect {image}`"
    return f"{image}@sha256:DIGEST", f", with the digest that {inspect} shows"


def _running(context: Context, image: str) -> str:
    """Return the digest with which a pod of the facility runs an image, if it is known."""
    if context.cluster is None:
        return ""
    try:
        pods = context.objects.list("Pod", "v1", context.facility.namespace)
    except Forbidden:
        return ""
    for pod in pods:
        names = {each["name"] for each in pod["spec"]["containers"] if each.get("image") == image}
        for status in pod.get("status", {}).get("containerStatuses") or ():
            match = _DIGEST.search(status.get("imageID") or "")
            if status["name"] in names and match:
                return match[1]
    return ""
