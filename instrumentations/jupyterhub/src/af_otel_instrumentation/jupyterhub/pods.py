"""Say on a user's pod whose session it is: the Collector believes that, not what the pod says."""

from __future__ import annotations

import sys
from typing import Any

from af_otel_semconv import attributes, carriers

from ._patch import Patches, quiet
from .session import Sessions, current

_ANNOTATIONS = {
    carriers.POD_SESSION_ID: attributes.SESSION_ID,
    carriers.POD_USER_HASH: attributes.USER_HASH,
}


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
            return await original(spawner, pod, *args, **kwargs)

        # Not `get_pod_manifest`: what that returns, `modify_pod_hook` may replace.
        self._patches.wrap(module.KubeSpawner, "_make_create_pod_request", create)

    def _annotate(self, spawner: Any, pod: Any) -> None:
        session = current() or self._sessions.find_for(spawner)
        if session is None or session.identity is None:
            return
        annotations = dict(pod.metadata.annotations or {})
        for key, attribute in _ANNOTATIONS.items():
            # A profile may have set it, from what its user chose.
            annotations.pop(key, None)
            value = session.identity.get(attribute)
            if value is not None:
                annotations[key] = value
        pod.metadata.annotations = annotations
