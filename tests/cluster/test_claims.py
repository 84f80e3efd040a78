"""Data on volumes outlive what an operator does to a facility, except `uninstall`."""

from __future__ import annotations

import contextlib

import pytest

from af_otel.kubernetes.refs import Ref
from cluster.small import small_facility

CLASS = Ref("storage.k8s.io/v1", "StorageClass", "standard")
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
DEFAULT = "storageclass.kubernetes.io/is-default-class"


@pytest.fixture(scope="module")
def installed(cluster, tmp_path_factory):
    with small_facility(cluster, tmp_path_factory.mktemp("claims")) as small:
        small.install()
        yield small


def claims(small):
    """Return the claims by name: which volume each has, and how large it is to be."""
    found = small.api.list("PersistentVolumeClaim", namespace=small.namespace)
    return {
        claim["metadata"]["name"].removeprefix("af-otel-"): (
            claim["spec"]["volumeName"],
            claim["spec"]["resources"]["requests"]["storage"],
        )
        for claim in found
        if not claim["metadata"].get("deletionTimestamp")
    }


def on_volumes(small):
    """Return the servers whose data are on a volume."""
    found = small.api.list("Deployment", "apps/v1", small.namespace)
    return {
        item["metadata"]["name"].removeprefix("af-otel-")
        for item in found
        for volume in item["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }


@contextlib.contextmanager
def storage_class(small, **changes):
    """Change the cluster's storage class for a while."""
    before = small.api.get(CLASS)
    changed = {**before, **changes}
    changed["metadata"] = {**before["metadata"], **changes.get("metadata", {})}
    replace(small, changed)
    try:
        yield
    finally:
        replace(small, before)


def replace(small, wanted):
    meta = {
        key: value
        for key, value in wanted["metadata"].items()
        if key in {"name", "labels", "annotations"}
    }
    path = f"{CLASSES}/{CLASS.name}"
    small.api.request("PUT", path, body={**wanted, "metadata": meta})


def test_a_class_that_is_no_default_any_more_changes_nothing(installed):
    """Claims that exist are used, whatever the cluster would do for new ones."""
    before = claims(installed)
    assert on_volumes(installed) == {"collector", "jaeger", "prometheus"} == set(before)
    with storage_class(installed, metadata={"annotations": {DEFAULT: "false"}}):
        assert installed.run("diff").returncode == 0
        installed.write(sampling={"share": 0.5})
        said = installed.run("upgrade", "--yes", "--skip-verify")
        assert "lost with their pod" not in said.stderr
        assert claims(installed) == before
        assert on_volumes(installed) == set(before)


def test_a_claim_grows_where_its_class_allows_it(installed):
    """Else it is said what to do, before anything is applied. A rollback keeps the size."""
    before = claims(installed)
    installed.write(sampling={"share": 0.7}, collector={"storage": {"size": "6Gi"}})
    said = installed.run("upgrade", "--yes", "--skip-verify", code=1).stderr
    assert "cannot grow" in said
    assert "collector.storage.size: 5Gi" in said
    assert claims(installed) == before
    assert installed.json("status")["well"]

    with storage_class(installed, allowVolumeExpansion=True):
        installed.run("upgrade", "--yes", "--skip-verify")
        grown = {**before, "collector": (before["collector"][0], "6Gi")}
        assert claims(installed) == grown
        installed.run("upgrade", "--rollback", "--yes", "--skip-verify")
        assert claims(installed) == grown


@pytest.mark.parametrize(
    ("storage", "what", "write"),
    [
        ({"size": "1Gi"}, "cannot shrink", "collector.storage.size: 6Gi"),
        (
            {"size": "6Gi", "class": "fast"},
            "storage class of PersistentVolumeClaim",
            "class: standard",
        ),
    ],
)
def test_what_only_a_new_volume_could_have_is_refused(installed, storage, what, write):
    before = claims(installed)
    installed.write(collector={"storage": storage})
    said = installed.run("upgrade", "--yes", "--skip-verify", "--force-checks", code=1).stderr
    assert what in said
    assert write in said
    assert "delete deployment/af-otel-" in said
    assert claims(installed) == before


def test_the_data_of_a_server_that_is_left_out_stay_until_the_uninstall(installed):
    """They are used again if it comes back; `uninstall` says which volumes go."""
    before = claims(installed)
    installed.write(
        collector={"storage": {"size": "6Gi"}}, backends={"jaeger": True, "prometheus": False},
        destinations={"metrics": {"remote_write": {"endpoint": "http://elsewhere.example/write"}}},
    )  # fmt: skip
    installed.run("upgrade", "--yes", "--skip-verify", "--force-checks")
    assert claims(installed) == before
    assert on_volumes(installed) == {"collector", "jaeger"}
    assert installed.run("diff").returncode == 0

    installed.run("uninstall", "--yes")
    assert claims(installed) == {}
