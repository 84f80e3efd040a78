"""An API server: requests with failures as sentences, the kinds it serves, what one may do."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

from af_otel.kubernetes.errors import NotFound, Unreachable, from_answer
from af_otel.kubernetes.refs import Resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from af_otel.kubernetes.connection import Connection

VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}


class Api:
    """One API server, as one caller with their rights; threads may share it."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self._served: dict[str, dict[str, Resource]] = {}
        self._lock = threading.Lock()
        said = self.request("GET", "/version")
        self.version = (_number(said["major"]), _number(said["minor"]))

    @property
    def host(self) -> str:
        """The address of its API."""
        return self._link.host

    def close(self) -> None:
        """Let go of open connections."""
        self._link.close()

    def resource(self, api_version: str, kind: str) -> Resource:
        """How a kind is served.

        Raises
        ------
        NotFound
            It is not.
        """
        for _ in range(2):
            known = self._served.get(api_version)
            if known is not None and kind in known:
                return known[kind]
            # Also once more for a kind that is not in what was read: its definition may be new.
            fresh = self.resources(api_version)
            with self._lock:
                self._served[api_version] = fresh
        raise NotFound(
            f"The cluster has no `{kind}` of `{api_version}`", where=self.host, status=404
        )

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether the cluster knows a kind."""
        try:
            self.resource(api_version, kind)
        except NotFound:
            return False
        return True

    def resources(self, api_version: str) -> dict[str, Resource]:
        """All kinds of a group's version, by name; subresources are left out."""
        root = "/apis/" if "/" in api_version else "/api/"
        try:
            said = self.request("GET", root + api_version)
        except NotFound:
            return {}
        return {
            item["kind"]: Resource(
                api_version, item["kind"], item["name"], item["namespaced"], tuple(item["verbs"])
            )
            for item in said["resources"]
            if "/" not in item["name"]
        }

    def everything(self) -> list[Resource]:
        """Every kind that the cluster serves, each in the version that it prefers."""
        found = list(self.resources("v1").values())
        for group in self.request("GET", "/apis")["groups"]:
            # A group may be another server's, such as the metrics server, which may be down.
            with contextlib.suppress(Unreachable):
                found += self.resources(group["preferredVersion"]["groupVersion"]).values()
        return found

    def may(
        self,
        verb: str,
        resource: str,
        group: str = "",
        namespace: str = "",
        name: str = "",
        subresource: str = "",
    ) -> bool:
        """Whether the caller has a right, by the cluster's own word (SelfSubjectAccessReview)."""
        asked = {
            "verb": verb,
            "resource": resource,
            "group": group,
            "namespace": namespace,
            "name": name,
            "subresource": subresource,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "metadata": {},
            "spec": {"resourceAttributes": asked},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool(self.request("POST", path, body=body)["status"]["allowed"])

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        about: tuple[str, str] | None = None,
        rule: Mapping[str, Any] | None = None,
        namespace: str = "",
        timeout: float | None = None,
    ) -> Any:
        """What the API answers to a request: JSON decoded, text as it is.

        Parameters
        ----------
        about
            The verb, and the object or collection; for the sentence of an error.
        rule
            The RBAC rule that allows it, likewise.
        """
        answer = self._link.request(
            method,
            path,
            query=query,
            content=None if body is None else json.dumps(body).encode(),
            headers={} if body is None else {"Content-Type": content_type},
            timeout=timeout,
        )
        if answer.is_success:
            kind = answer.headers.get("Content-Type", "")
            return answer.json() if kind.startswith("application/json") else answer.text
        verb, what = about or (VERBS.get(method, method.lower()), f"`{path}`")
        raise from_answer(
            answer.status_code,
            answer.content,
            verb=verb,
            what=what,
            rule=dict(rule or {"nonResourceURLs": [path], "verbs": [verb]}),
            namespace=namespace,
        )


def _number(text: str) -> int:
    return int("".join(character for character in text if character.isdigit()) or 0)
