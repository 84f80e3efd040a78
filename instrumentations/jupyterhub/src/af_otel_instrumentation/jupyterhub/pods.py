"""Annotate a user's pod with its session: the Collector stores the pod's telemetry under that."""

from __future__ import annotations

import logging
import sys
from typing import Any

from af_otel_semconv import attributes, carriers

from ._patch import Patches, quiet
from .session import Session, Sessions, current

_log = logging.getLogger(__name__)
_FORBIDDEN = 403


class Pods:
    """Annotates what KubeSpawner is about to create, after all hooks of the facility's."""

    def __init__(self, sessions: Sessions, patches: Patches) -> None:
        self._sessions = sessions
        self._patches = patches
        self._followed = False

    def follow(self) -> None:
        """Follow KubeSpawner's request for a pod, once KubeSpawner is there."""
        module = sys.modules.get("kubespawner.spawner")
        if self._followed or module is None:
            return
        self._followed = True
        annotate = quiet(self._annotate)

        async def create(original: Any, spawner: Any, pod: Any, *args: Any, **kwargs: Any) -> Any:
            annotate(spawner, pod)
            try:
                return await original(spawner, pod, *args, **kwargs)
            except Exception as error:
                if not _is_refused(error):
                    raise
                _log.warning(
                    "Pod %s is created without the identity of its user, which this hub may not "
                    "set: run `af-otel install` if the hub's service account has changed",
                    pod.metadata.name,
                )
                _remove(pod)
            return await original(spawner, pod, *args, **kwargs)

        # Not `get_pod_manifest`: what that returns, `modify_pod_hook` may replace.
        self._patches.wrap(module.KubeSpawner, "_make_create_pod_request", create)

    def _annotate(self, spawner: Any, pod: Any) -> None:
        session = current() or self._sessions.find_for(spawner)
        if session is None or session.identity is None:
            return
        # A profile may have set them, from what its user chose.
        _remove(pod)
        pod.metadata.annotations = {**(pod.metadata.annotations or {}), **_identity(session)}


def _identity(session: Session) -> dict[str, str]:
    """Return the annotations of a session's pod."""
    assert session.identity is not None
    known = {
        carriers.POD_SESSION_ID: carriers.stored_session_id(session.identity[attributes.SESSION_ID])
    }
    if attributes.USER_HASH in session.identity:
        known[carriers.POD_USER_HASH] = session.identity[attributes.USER_HASH]
    return known


def _remove(pod: Any) -> None:
    kept = dict(pod.metadata.annotations or {})
    for key in (carriers.POD_SESSION_ID, carriers.POD_USER_HASH):
        kept.pop(key, None)
    pod.metadata.annotations = kept


def _is_refused(error: Exception) -> bool:
    """Return whether the API refused the annotations, which then name another hub."""
    said = f"Annotation {carriers.POD_SESSION_ID.partition('/')[0]}/"
    refused = getattr(error, "status", None) == _FORBIDDEN
    return refused and said in str(getattr(error, "body", ""))
