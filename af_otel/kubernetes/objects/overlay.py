"""Injection where the cluster has no policies for it: values for the charts, or a pod template.

Helm replaces lists, so a list of an overlay is the release's own and ours behind it. What a release
has stays, and an overlay made from values that have one already is the same again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.kubernetes.objects import _pod
from af_otel.kubernetes.objects._values import (
    PATH,
    Overlay,
    Values,
    image_of,
    init_step,
    ours_first,
    with_ours,
)
from af_otel.kubernetes.objects._z2jh import z2jh

if TYPE_CHECKING:
    from collections.abc import Mapping

    from af_otel.facility import Facility

_HAVE = {"z2jh": ("hub", "singleuser"), "dask-gateway": ("gateway", "traefik")}
_NAMES = {"z2jh": "jupyterhub", "dask-gateway": "dask-gateway"}
# Enough to unpack, and less than any Dask pod has.
_SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}


def overlay(chart: str, facility: Facility, values: Values, payload: str) -> Overlay:
    """Return the overlay for a release of a chart, of whatever chart it may be a part.

    Parameters
    ----------
    chart
        `z2jh` or `dask-gateway`.
    values
        All values of the release, the chart's defaults included.
    payload
        The name of the payload's ConfigMap.

    Raises
    ------
    AfOtelError
        These are not the values of such a chart, or its defaults are missing.
    """
    path = part_of(chart, values)
    if path is None:
        raise AfOtelError(
            f"These are no values of {_NAMES[chart]}",
            where=f"neither they nor a part of them have {' and '.join(_HAVE[chart])}",
            hint="give all of them: `helm get values RELEASE --all -o yaml`",
        )
    make = {"z2jh": z2jh, "dask-gateway": _dask_gateway}[chart]
    made = make(facility, values[path] if path else values, payload)
    return Overlay({path: made.values}, made.notes) if path else made


def part_of(chart: str, values: Mapping[str, Any]) -> str | None:
    """Return where among a release's values those of a chart are: the name that the release's own
    chart has for it, `""` if it is that chart, None if it has no part of it.
    """
    for name, part in [("", values), *values.items()]:
        if isinstance(part, dict) and all(isinstance(part.get(key), dict) for key in _HAVE[chart]):
            return name
    return None


def pod_template(facility: Facility, payload: str) -> Values:
    """Return what any pod template needs more; the image is the container's own."""
    image = "IMAGE OF THE CONTAINER BELOW"
    return {
        "spec": {
            "initContainers": [_pod.init_container(image)],
            "containers": [
                {
                    "name": "NAME OF YOUR CONTAINER",
                    "env": [
                        {"name": name, "value": value}
                        for name, value in {
                            PATH: f"{_pod.HOME}:{_pod.IMAGES_OWN}",
                            **_pod.variables(facility),
                        }.items()
                    ],
                    "volumeMounts": [_pod.mount()],
                }
            ],
            "volumes": _pod.volumes(payload),
        }
    }


def _dask_gateway(facility: Facility, values: Values, payload: str) -> Overlay:
    backend = values["gateway"].get("backend") or {}
    image = image_of(backend, "gateway.backend.image")
    set_for_all = backend.get("environment") or {}
    made: Values = {}
    for name in ("scheduler", "worker"):
        part = backend.get(name) or {}
        pod, container = part.get("extraPodConfig") or {}, part.get("extraContainerConfig") or {}
        # Not `environment`: what an options handler returns replaces that. A list is appended to,
        # and the kubelet resolves a reference to what comes before.
        env = {PATH: f"{_pod.HOME}:$({PATH})", **_pod.variables(facility)}
        ours = [{"name": key, "value": value} for key, value in env.items()]
        own = [
            each
            for each in container.get("env") or ()
            if each not in ours and not _pod.is_former(facility, each)
        ]
        names = {each.get("name") for each in own} | set(set_for_all)
        ours = [each for each in ours if each["name"] == PATH or each["name"] not in names]
        mounts = with_ours(container.get("volumeMounts"), [_pod.mount()])
        init = init_step(image, container.get("securityContext"), _SMALL)
        made[name] = {
            "extraPodConfig": {
                "initContainers": ours_first(init, pod.get("initContainers")),
                "volumes": with_ours(pod.get("volumes"), _pod.volumes(payload)),
            },
            "extraContainerConfig": {"env": [*own, *ours], "volumeMounts": mounts},
        }
    note = (
        "Where users choose another image, the init step still runs in `gateway.backend.image`: "
        "a PYTHONPATH that such an image sets by itself is not seen"
    )
    return Overlay({"gateway": {"backend": made}}, [note])
