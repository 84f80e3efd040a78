"""Whose pod it is, said on the pod that KubeSpawner is about to create."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from af_otel_instrumentation.jupyterhub._patch import Patches
from af_otel_instrumentation.jupyterhub.pods import Pods
from af_otel_instrumentation.jupyterhub.session import Session, Sessions

kubespawner = pytest.importorskip("kubespawner")
WHO = {"session.id": "5" * 32, "user.hash": "a" * 16}


class Api:
    """Takes the pods that it is asked to create."""

    def __init__(self):
        self.created = []

    async def create_namespaced_pod(self, namespace, pod):
        self.created.append(dict(pod.metadata.annotations or {}))


class Spawner(kubespawner.KubeSpawner):
    """A facility's own, as most have one."""


def spawn(identity, annotations):
    """Let KubeSpawner ask twice, as it does when the API is slow; what the API got."""
    from kubernetes_asyncio.client.models import V1ObjectMeta, V1Pod

    user = SimpleNamespace(id=1, name="ann", orm_user=object())
    sessions = Sessions(None)
    if identity is not None:
        sessions.begin(Session((1, ""), None, identity=identity))
    patches = Patches()
    before = vars(kubespawner.KubeSpawner)["_make_create_pod_request"]
    follower = Pods(sessions, patches)
    follower.follow()
    follower.follow()
    spawner = Spawner.__new__(Spawner)  # its `__init__` looks for a cluster
    spawner.user, spawner.namespace, spawner.api = user, "here", Api()
    pod = V1Pod(metadata=V1ObjectMeta(name="jupyter-ann", annotations=annotations))

    async def ask():
        for _ in range(2):
            assert await spawner._make_create_pod_request(pod, 3)

    asyncio.run(ask())
    patches.remove()
    assert vars(kubespawner.KubeSpawner)["_make_create_pod_request"] is before
    first, second = spawner.api.created
    assert first == second
    return first


def test_the_pod_says_whose_session_it_is():
    """Beside what else is written there."""
    assert spawn(WHO, {"theirs": "kept"}) == {
        "theirs": "kept",
        "af-otel.io/session-id": "5" * 32,
        "af-otel.io/user-hash": "a" * 16,
    }
    assert spawn(WHO, None).keys() == {"af-otel.io/session-id", "af-otel.io/user-hash"}


def test_what_hooks_or_profiles_claim_is_replaced():
    """Also by nothing, where the hub has no secret to make a pseudonym with."""
    claimed = {"af-otel.io/session-id": "mine", "af-otel.io/user-hash": "admin"}
    assert spawn(WHO, claimed)["af-otel.io/user-hash"] == "a" * 16
    assert spawn({"session.id": "5"}, claimed) == {"af-otel.io/session-id": "5"}


def test_a_pod_of_no_session_and_one_that_cannot_be_read_are_created_all_the_same():
    """A hub that runs untraced spawns."""
    assert spawn(None, {"theirs": "kept"}) == {"theirs": "kept"}
    assert spawn({"session.id": object()}, {"theirs": "kept"})["theirs"] == "kept"
