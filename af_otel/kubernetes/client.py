"""A live cluster: its objects as plain dicts, its pods' commands, logs and ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.kubernetes import connection, streams
from af_otel.kubernetes.api import VERBS, Api
from af_otel.kubernetes.errors import NotFound
from af_otel.kubernetes.refs import Ref, Resource, selector
from af_otel.kubernetes.streams import Output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = ["FIELD_MANAGER", "Cluster", "Output", "Ref", "Resource"]

FIELD_MANAGER = "af-otel"
_PAGE = 500  # objects in one answer
Objects = list[dict[str, Any]]  # within `Cluster`, `list` is a request


class Cluster(Api):
    """A live cluster; every failure is an `AfOtelError`."""

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Cluster:
        """The cluster of a kubeconfig (by default of `$KUBECONFIG` or ~/.kube/config).

        Raises
        ------
        AfOtelError
            There is none, or it does not answer.
        """
        return cls(connection.connect(kubeconfig, context))

    # Objects

    def get(self, obj: Ref | Mapping[str, Any]) -> dict[str, Any] | None:
        """The object as it is now; None if it, its namespace or its kind is not there."""
        ref = _ref(obj)
        try:
            found: dict[str, Any] = self._call("GET", ref)
        except NotFound:
            return None
        return found

    def list(
        self,
        kind: str,
        api_version: str = "v1",
        namespace: str | None = None,
        labels: Mapping[str, str | Sequence[str]] | str | None = None,
        fields: str = "",
    ) -> Objects:
        """The objects of a kind, in one namespace or all; none if the kind is not served.

        Parameters
        ----------
        labels
            Each with its value, or the values of which one will do; or a selector as `kubectl -l`
            takes it.
        fields
            A field selector.
        """
        try:
            resource = self.resource(api_version, kind)
        except NotFound:
            return []
        query = [("limit", str(_PAGE))]
        if labels:
            query.append(("labelSelector", selector(labels)))
        if fields:
            query.append(("fieldSelector", fields))
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self.request(
                "GET",
                resource.path(namespace or ""),
                query=[*query, *([("continue", token)] if token else [])],
                about=("list", f"{resource.plural}{_within(namespace)}"),
                rule=_rule(resource, "list"),
                namespace=namespace or "",
            )
            # A list's items leave out what the list says once.
            head = {"apiVersion": api_version, "kind": kind}
            found += [{**head, **item} for item in page.get("items") or ()]
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return found

    def apply(
        self, obj: Mapping[str, Any], *, dry_run: bool = False, force: bool = False
    ) -> dict[str, Any]:
        """Server-side apply; what the object is afterwards, or would be.

        Raises
        ------
        Conflict
            Another manager owns a field and `force` is not given; the API's words say which.
        """
        query = [("fieldManager", FIELD_MANAGER), ("force", str(force).lower())]
        query += [("fieldValidation", "Strict"), *_dry(dry_run)]
        applied: dict[str, Any] = self._call(
            "PATCH",
            Ref.of(obj),
            query=query,
            body=obj,
            content_type="application/apply-patch+yaml",
        )
        return applied

    def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Make an object that is not there yet; what it is, defaults and admission included."""
        query = [("fieldManager", FIELD_MANAGER), *_dry(dry_run)]
        meta = obj["metadata"]
        # `generateName` is for the API to complete.
        ref = Ref(obj["apiVersion"], obj["kind"], meta.get("name", ""), meta.get("namespace", ""))
        created: dict[str, Any] = self._call("POST", ref, query=query, body=obj)
        return created

    def delete(
        self,
        obj: Ref | Mapping[str, Any],
        *,
        dry_run: bool = False,
        grace: int | None = None,
        uid: str = "",
    ) -> bool:
        """Delete an object and what it owns; whether it was there.

        Parameters
        ----------
        grace
            Seconds to end in; by default what the object says.
        uid
            Only if it is still this one, not another of its name.
        """
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._call("DELETE", _ref(obj), query=_dry(dry_run), body=body)
        except NotFound:
            return False
        return True

    def _call(
        self,
        method: str,
        ref: Ref,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        resource = self.resource(ref.api_version, ref.kind)
        verb = VERBS[method]
        return self.request(
            method,
            resource.path(ref.namespace, "" if method == "POST" else ref.name),
            query=query,
            body=body,
            content_type=content_type,
            about=(verb, str(ref)),
            rule=_rule(resource, verb),
            namespace=ref.namespace,
        )

    # Pods

    def exec(
        self,
        namespace: str,
        pod: str,
        command: Sequence[str],
        container: str | None = None,
        timeout: float = 60,
    ) -> Output:
        """Run a command in a container (by default the first), and wait for its end.

        Raises
        ------
        AfOtelError
            It cannot be run, or did not end in time; a command that fails is an `Output`.
        """
        return streams.run(self._link, namespace, pod, command, container, timeout)

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        tail: int | None = None,
        previous: bool = False,
    ) -> str:
        """What a container has written; `previous` for the one before its last restart."""
        query = [("container", container)] if container else []
        query += [("tailLines", str(tail))] if tail is not None else []
        query += [("previous", "true")] if previous else []
        text: str = self.request(
            "GET",
            f"/api/v1/namespaces/{namespace}/pods/{pod}/log",
            query=query,
            about=("read the log of", f"Pod `{pod}` in `{namespace}`"),
            rule={"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
            namespace=namespace,
        )
        return text

    def forward(self, namespace: str, target: str, port: int) -> AbstractContextManager[str]:
        """A local address of a port in the cluster, for as long as the context lasts.

        Parameters
        ----------
        target
            `service/NAME` or `pod/NAME`. Of a service any ready pod serves, and another one when
            that is gone.
        port
            The service's, or the pod's.

        Returns
        -------
        A context manager with the address, such as `http://127.0.0.1:41234`.
        """
        from af_otel.kubernetes.forward import forward

        return forward(self, self._link, namespace, target, port)


def _ref(obj: Ref | Mapping[str, Any]) -> Ref:
    return obj if isinstance(obj, Ref) else Ref.of(obj)


def _dry(dry_run: bool) -> list[tuple[str, str]]:
    return [("dryRun", "All")] if dry_run else []


def _rule(resource: Resource, verb: str) -> dict[str, Any]:
    # Server-side apply of what is not there yet creates it.
    verbs = ["create", "patch"] if verb == "patch" else [verb]
    return {"apiGroups": [resource.group], "resources": [resource.plural], "verbs": verbs}


def _within(namespace: str | None) -> str:
    return f" in `{namespace}`" if namespace else ""
