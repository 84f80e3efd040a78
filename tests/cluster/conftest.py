"""A cluster for the tests of this directory: started for them, or the one that a setting names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")
            # The first of them has the cluster started, and perhaps images made.
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def cluster():
    """A Kubernetes of one node; `AF_OTEL_TEST_KUBECONFIG` names one of ours that runs already."""
    from cluster.cluster import Cluster

    named = os.environ.get("AF_OTEL_TEST_KUBECONFIG")
    if named:
        yield Cluster.named(Path(named))
        return
    with started() as cluster:
        yield cluster


@pytest.fixture
def own_cluster():
    """A cluster of this test alone, which may do to it what it likes; it has no images."""
    with started(bare=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def facility_on_cluster(cluster):
    """A hub with its proxy and Dask Gateway in the namespace `jhub`, shared by the tests."""
    from cluster import deploy

    return deploy.deploy(cluster)


def started(*, bare=False):
    """A context manager: a new cluster, gone at the end. Skips where there can be none."""
    from cluster.cluster import lacking, running

    reason = lacking()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return running(bare=bare)
