"""Whose pod it is, said on the pod that KubeSpawner is about to create."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
from af_otel_instrumentation.jupyterhub._patch import Patches
from af_otel_instrumentation.jupyterhub.pods import Pods
from af_otel_instrumentation.jupyterhub.session import Session, Sessions
from af_otel_semconv.carriers import stored_session_id

kubespawner = pytest.importorskip("kubespawner")
WHO = {"session.id": "5" * 32, "user.hash": "a" * 16}


class Api:
    """Takes the pods that it is asked to create; as a policy has it, perhaps without identity."""

    def __init__(self, refusal=None):
        self.created = []
        self.refusal = refusal

    async def create_namespaced_pod(self, namespace, pod):
        if self.refusal and "af-otel.io/session-id" in pod.metadata.annotations:
            raise self.refusal
        self.created.append(dict(pod.metadata.annotations or {}))


class Spawner(kubespawner.KubeSpawner):
    """A facility's own, as most have one."""


def spawn(identity, annotations, refusal=None):
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
    spawner.user, spawner.namespace, spawner.api = user, "here", Api(refusal)
    pod = V1Pod(metadata=V1ObjectMeta(name="jupyter-ann", annotations=annotations))

    async def ask():
        for _ in range(2):
            assert await spawner._make_create_pod_request(pod, 3)

    try:
        asyncio.run(ask())
    finally:
        patches.remove()
    assert vars(kubespawner.KubeSpawner)["_make_create_pod_request"] is before
    first, second = spawner.api.created
    assert first == second
    return first


def test_the_pod_says_whose_session_it_is():
    """Beside what else is written there."""
    assert spawn(WHO, {"theirs": "kept"}) == {
        "theirs": "kept",
        "af-otel.io/session-id": stored_session_id("5" * 32),
        "af-otel.io/user-hash": "a" * 16,
    }
    assert spawn(WHO, None).keys() == {"af-otel.io/session-id", "af-otel.io/user-hash"}


def test_what_hooks_or_profiles_claim_is_replaced():
    """Also by nothing, where the hub has no secret to make a pseudonym with."""
    claimed = {"af-otel.io/session-id": "mine", "af-otel.io/user-hash": "admin"}
    assert spawn(WHO, claimed)["af-otel.io/user-hash"] == "a" * 16
    assert spawn({"session.id": "5"}, claimed) == {"af-otel.io/session-id": stored_session_id("5")}


def refused(status, message):
    from kubernetes_asyncio.client import ApiException

    error = ApiException(status=status, reason="Forbidden")
    error.body = json.dumps({"kind": "Status", "message": message})
    return error


def test_a_hub_that_may_not_set_the_identity_spawns_without_it(caplog):
    """The policy may know the hub by an account that it no longer has: nobody's server fails."""
    policy = refused(403, "... denied request: Annotation af-otel.io/session-id says whose ...")

    assert spawn(WHO, {"theirs": "kept"}, policy) == {"theirs": "kept"}
    assert "af-otel install" in caplog.text


def test_other_refusals_are_the_hubs():
    """A quota that is used up fails the spawn, as it does untraced."""
    with pytest.raises(Exception, match="Forbidden"):
        spawn(WHO, None, refused(403, "exceeded quota"))


def test_a_pod_of_no_session_and_one_that_cannot_be_read_are_created_all_the_same():
    """A hub that runs untraced spawns."""
    assert spawn(None, {"theirs": "kept"}) == {"theirs": "kept"}
    assert spawn({"session.id": object()}, {"theirs": "kept"})["theirs"] == "kept"
