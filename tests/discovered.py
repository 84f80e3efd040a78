"""A cluster that is its objects, and what is discovered in it."""

from __future__ import annotations

import yaml

from af_otel.errors import AfOtelError
from af_otel.facility import parse_text
from af_otel.facility.discovery import discover, write


class Denied(AfOtelError):
    status = 403


class Objects:
    """A cluster that is its objects, with the rights to read some of them."""

    host = "https://cluster:6443"

    def __init__(self, *texts, version=(1, 37), kinds=(), denied=()):
        self.version = version
        self.kinds = {"MutatingAdmissionPolicy"} if version >= (1, 36) else set()
        self.kinds |= set(kinds)
        self.denied = denied
        self.objects = [
            item for text in texts for item in yaml.safe_load_all(text) if item is not None
        ]

    def serves(self, api_version, kind):
        return kind in self.kinds

    def list(self, kind, api_version="v1", namespace=None, labels=None, fields=""):
        if any(denied in {kind, f"{kind}@{namespace or '*'}"} for denied in self.denied):
            raise Denied(f"You may not list {kind}", hint=f"ask for {kind}")
        wanted = [part.partition("=") for part in (labels or "").split(",") if part]
        return [
            item
            for item in self.objects
            if item["kind"] == kind
            and namespace in {None, item["metadata"].get("namespace")}
            and all(
                key in labels_of(item) and (not equals or labels_of(item)[key] == value)
                for key, equals, value in wanted
            )
        ]


def labels_of(item):
    return item["metadata"].get("labels") or {}


def workload(kind, name, namespace, labels, container, *, meta=(), spec=None):
    head = {"name": name, "namespace": namespace, **dict(meta)}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [container], **(spec or {})}}
    if kind == "Pod":
        item = {"kind": kind, "metadata": head | {"labels": labels}, "spec": pods["spec"]}
    else:
        item = {
            "kind": kind,
            "metadata": {"labels": dict(labels)} | head,
            "spec": {"selector": {"matchLabels": labels}, "template": pods},
        }
    return yaml.safe_dump(item) + "---\n"


def service(name, namespace, selector, *ports, meta=(), **spec):
    head = {"name": name, "namespace": namespace, **dict(meta)}
    spec |= {"selector": selector, "ports": [{"port": port} for port in ports]}
    return yaml.safe_dump({"kind": "Service", "metadata": head, "spec": spec}) + "---\n"


def z2jh(namespace="jhub", release="hub", **hub):
    labels = {"app": "jupyterhub", "component": "hub", "release": release}
    front = {"app": "jupyterhub", "component": "proxy", "release": release}
    meta = {"labels": labels | {"helm.sh/chart": "jupyterhub-4.3.2"}}
    return (
        workload("Deployment", "hub", namespace, labels, {"image": "k8s-hub:4"}, meta=meta, **hub)
        + workload("Deployment", "proxy", namespace, front, {"image": "configurable-http-proxy:4"})
        + service("hub", namespace, labels, 8081)
        + service("proxy-api", namespace, front, 8001)
        + service(
            "proxy-public",
            namespace,
            front,
            80,
            meta={"labels": front | {"component": "proxy-public"}},
        )
    )


def user(name, namespace, *, url="http://hub:8081/hub/api", labels=None):
    return workload(
        "Pod",
        f"jupyter-{name}",
        namespace,
        {"component": "singleuser-server", "app": "jupyterhub"} if labels is None else labels,
        {"image": "lab:1", "env": [{"name": "JUPYTERHUB_API_URL", "value": url}]},
        meta={"annotations": {"hub.jupyter.org/username": name}},
    )


def found(*texts, hub="", namespaces=(), instead=(), **cluster):
    return discover(Objects(*texts, **cluster), hub=hub, namespaces=namespaces, instead=instead)


def facility(*texts, **options):
    """The facility that the written file describes, and its text."""
    text = write(found(*texts, **options)).text()
    return parse_text(text), text
