"""The facility with a hub, as its operator works on it: from `init` on, no file edited by hand."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from af_otel.kubernetes.client import Cluster, Ref
from cluster.small import Small, ended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster.deploy import DeployedFacility

NAME = "tested"
USER = "af-otel-verify"  # of every verification


@contextlib.contextmanager
def described(facility: DeployedFacility, directory: Path) -> Iterator[Small]:
    """A facility.yaml that `init` has written; whatever is installed by it is gone afterwards."""
    cluster = facility.cluster
    api = Cluster.connect(cluster.kubeconfig)
    place = Small(api, cluster.kubeconfig, directory, facility.namespace)
    place.written |= {"name": NAME, "namespace": "af-otel"}
    assert api.get(Ref("v1", "Namespace", place.namespace)) is None, "needs a cluster without us"
    place.run("init", "--name", NAME, "--hub", facility.namespace)
    try:
        yield place
    finally:
        place.start("uninstall", "--yes").communicate(timeout=240)
        # What has this facility's label, and nothing else: the cluster may have another one.
        for item in place.ours():
            place.api.delete(item)


def said(place: Small, *arguments: str, code: int = 0) -> Any:
    """What a command that has a user visit says as JSON; on a busy machine that takes minutes."""
    process = place.start(*arguments, "--json")
    out, err = ended(process, timeout=900)
    assert process.returncode == code, f"{process.returncode}\n{out}\n{err}"
    return json.loads(out)


def left_of_the_user(facility: DeployedFacility, place: Small) -> list[str]:
    """What is still there of the synthetic user: in the hub, and among the pods."""
    found = [user["name"] for user in facility.call("GET", "/users") if user["name"] == USER]
    for pod in place.api.list("Pod", namespace=facility.namespace):
        meta = pod["metadata"]
        component = (meta.get("labels") or {}).get("app.kubernetes.io/component", "")
        if USER in meta["name"] or component in {"dask-scheduler", "dask-worker"}:
            found += [] if meta.get("deletionTimestamp") else [meta["name"]]
    return found
