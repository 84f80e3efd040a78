"""What an injected pod has more than others, whichever way it gets there.

An init container from the pod's own image unpacks the payload into a volume that its containers
find on PYTHONPATH. Nothing that goes wrong there stops the pod: the command ends with 0 in bounded
time, the payload may be missing, and a container without it runs as it always did.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from af_otel.facility.values import seconds
from af_otel.kubernetes.objects._labels import COLLECTOR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from af_otel.facility import Facility

NAME = "af-otel"
HOME = "/af-otel"
PAYLOAD_VOLUME = "af-otel-payload"
PAYLOAD_HOME = "/af-otel-payload"
# On PYTHONPATH it stands for the image's own, which a variable of the pod's hides: the init step
# writes that into a file of this name.
IMAGES_OWN = f"{HOME}/image"
# For pods without an init container: Python imports from the archive as it is.
ARCHIVE = f"{HOME}/payload.zip"
_OTLP_HTTP = 4318

# Every line runs in any `sh`, none has curly braces or `$(`: KubeSpawner and the kubelet would
# take them for theirs. The second try of a pod, after the kernel has ended the first or the node
# has been restarted, does not wait again.
_SCRIPT = f"""\
umask 022
cd {HOME} || exit 0
[ -f af_otel_boot.py ] && exit 0
[ -n "$PYTHONPATH" ] && printf %s "$PYTHONPATH" > image
if [ ! -f .tried ]; then
  : > .tried
  for python in python3 python; do
    command -v $python > /dev/null || continue
    $python -I -S {PAYLOAD_HOME}/unpack.py {PAYLOAD_HOME}/payload.zip {HOME} 2>&1 &
    step=$!
    (sleep 15 && kill -9 $step) > /dev/null 2>&1 &
    watch=$!
    wait $step
    code=$?
    kill $watch
    [ -f af_otel_boot.py ] && exit 0
    [ $code -gt 128 ] && break
  done
fi
echo "af-otel: this pod runs untraced"
rm -rf .unpacking af_otel_lib __pycache__ sitecustomize.py
printf %s "$1" > sitecustomize.py
exit 0
"""


@cache
def unpack() -> str:
    """The script that the init step runs in the image's Python; a part of the payload's
    ConfigMap.
    """
    return (resources.files("af_otel.bootstrap") / "unpack.py").read_text()


@cache
def command() -> list[str]:
    """The init step; where it fails, `sitecustomize.py` alone leaves the search path as it was."""
    site = resources.files("af_otel.bootstrap") / "site" / "sitecustomize.py"
    return ["sh", "-c", _SCRIPT, NAME, site.read_text()]


def init_container(image: Any) -> dict[str, Any]:
    """Return the init container, without what it copies from the container that it serves."""
    return {
        "name": NAME,
        "image": image,
        "command": command(),
        # The image's may be closed to the user that the pod runs as.
        "workingDir": HOME,
        "volumeMounts": [
            {"name": NAME, "mountPath": HOME},
            {"name": PAYLOAD_VOLUME, "mountPath": PAYLOAD_HOME, "readOnly": True},
        ],
    }


def volumes(payload: str) -> list[dict[str, Any]]:
    """Return the volumes of a pod with an init container; `payload` is the ConfigMap's name."""
    return [{"name": NAME, "emptyDir": {}}, payload_volume(payload)]


def payload_volume(payload: str) -> dict[str, Any]:
    """Return the payload's volume, empty where the ConfigMap is not there."""
    return {"name": PAYLOAD_VOLUME, "configMap": {"name": payload, "optional": True}}


def mount(volume: str = NAME) -> dict[str, Any]:
    """Return where a container finds what was unpacked, or the payload as it is."""
    return {"name": volume, "mountPath": HOME, "readOnly": True}


def endpoint(facility: Facility) -> str:
    """The Collector's address for pods of any namespace."""
    return f"http://{COLLECTOR}.{facility.namespace}:{_OTLP_HTTP}"


def variables(facility: Facility) -> dict[str, str]:
    """The variables besides PYTHONPATH that a container gets if it has none of that name."""
    return {
        "AF_OTEL_ENDPOINT": endpoint(facility),
        "AF_OTEL_FACILITY": facility.name,
        "AF_OTEL_METRIC_EXPORT_INTERVAL": _interval(facility),
        **facility.injection.env,
    }


def is_former(facility: Facility, variable: Mapping[str, Any]) -> bool:
    """Return whether a variable is one that overlays set before they had `AF_OTEL_*` names.

    Other tools in users' processes obey these, so a new overlay does not repeat them.
    """
    former = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint(facility),
        "OTEL_RESOURCE_ATTRIBUTES": f"service.namespace={facility.name}",
        "OTEL_METRIC_EXPORT_INTERVAL": _interval(facility),
    }
    return (variable.get("name"), variable.get("value")) in former.items()


def _interval(facility: Facility) -> str:
    return f"{seconds(facility.scrape.interval) * 1000:.0f}"
