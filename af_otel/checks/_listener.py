"""The Collector as it would be installed, for some seconds, in one pod.

Of its containers, `collector` is what other pods try to reach; `configuration` has the image's own
binary read what is rendered, and `nginx` its own; `trial` has the destinations, and what is sent to
it says how they answer.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from af_otel.checks._probe import Failed, Probe
from af_otel.checks.finding import NotChecked
from af_otel.kubernetes.objects._labels import COLLECTOR, chosen_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from af_otel.checks.context import Context

__all__ = ["NGINX", "TRIAL_PORT", "Failed", "Listener", "Made", "Parts", "parts", "pod", "started"]

NGINX = "nginx"
TRIAL_PORT = 4319  # what arrives there goes to the destinations
_POD = ("securityContext", "nodeSelector", "tolerations", "imagePullSecrets", "affinity")
_CONTAINER = ("image", "imagePullPolicy", "securityContext", "env", "envFrom", "volumeMounts")
_EXPORTERS = {"otlp", "otlp_grpc", "otlp_http", "otlphttp"}
# What the queue is called where it is not `sending_queue`.
_QUEUES = dict.fromkeys(("prometheus_remote_write", "prometheusremotewrite"), "remote_write_queue")
_EXPORTERS |= set(_QUEUES)
_PATIENCE = {"sending_queue", "remote_write_queue", "wal", "retry_on_failure", "timeout"}


@dataclass(frozen=True)
class Parts:
    """The rendered Collector, taken apart."""

    template: Mapping[str, Any]  # of its Deployment's pods
    files: Mapping[str, Mapping[str, str]]  # of the ConfigMaps that it mounts
    config: Mapping[str, Any]  # all of them as one

    @property
    def nginx(self) -> Mapping[str, Any] | None:
        """The container before the Collector's, if there is one."""
        others: list[Mapping[str, Any]] = self.template["spec"]["containers"][1:]
        return others[0] if others else None

    @property
    def container(self) -> Mapping[str, Any]:
        """The Collector's container."""
        container: Mapping[str, Any] = self.template["spec"]["containers"][0]
        return container


@dataclass(frozen=True)
class Made:
    """The pod that was started."""

    probe: Probe
    namespace: str
    signals: frozenset[str]  # that `trial` has a destination for


@dataclass(frozen=True)
class Listener:
    """Where other pods find it."""

    namespace: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)


def started(context: Context) -> Listener:
    """Return where the listener is, once it runs."""
    made = pod(context)

    def running() -> Listener:
        labels = _labels(context)
        return Listener(made.namespace, made.probe.address("collector"), labels)

    return context.once("listener", running)


def pod(context: Context) -> Made:
    """Return the pod; the first call creates it."""
    return context.once("listener-pod", lambda: _pod(context))


def parts(context: Context) -> Parts:
    """Return the Collector as an install would render it.

    Raises
    ------
    NotChecked
        Nothing is rendered.
    """
    rendered = context.rendered
    found = [
        obj
        for obj in rendered
        if obj["kind"] in {"Deployment", "StatefulSet"} and obj["metadata"]["name"] == COLLECTOR
    ]
    if not found:
        raise NotChecked("the facility has no Collector")
    template = found[0]["spec"]["template"]
    maps = {
        obj["metadata"]["name"]: dict(obj.get("data") or {})
        for obj in rendered
        if obj["kind"] == "ConfigMap"
    }
    files = {
        volume["configMap"]["name"]: maps[volume["configMap"]["name"]]
        for volume in template["spec"].get("volumes") or ()
        if volume.get("configMap", {}).get("name") in maps
    }
    config: dict[str, Any] = {}
    for name in _configs(template["spec"]["containers"][0].get("args") or ()):
        for texts in files.values():
            if name in texts:
                _merge(config, yaml.safe_load(texts[name]) or {})
    return Parts(template, files, config)


def _configs(args: Sequence[str]) -> Iterator[str]:
    for arg in args:
        if arg.startswith("--config="):
            yield arg.rpartition("/")[2]


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _labels(context: Context) -> dict[str, str]:
    return chosen_by(context.facility, COLLECTOR)


def _pod(context: Context) -> Made:
    probes = context.probes
    if probes is None:
        raise NotChecked("it needs the cluster")
    collector = parts(context)
    facility = context.facility
    # Before the install its namespace need not be there; the hub's is.
    there = context.there(facility.namespace)
    namespace = facility.namespace if there else facility.hub.namespace
    name = probes.name("collector")
    renamed = {}
    for number, (original, texts) in enumerate(collector.files.items()):
        renamed[original] = f"{name}-{number}"
        probes.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": renamed[original],
                    "namespace": namespace,
                    "labels": probes.labels(),
                },
                "data": dict(texts),
            }
        )
    trial, signals = _trial(collector.config)
    args = [str(arg) for arg in collector.container.get("args") or ()]
    containers = [
        _container(
            collector.container,
            "collector",
            args=["--config=env:AF_OTEL_PROBE_CONFIG"],
            config=_LISTENS,
        ),
        _container(collector.container, "configuration", args=["validate", *args]),
    ]
    if collector.nginx:
        command = [*collector.nginx["command"], "-t"]
        containers.append(_container(collector.nginx, NGINX, command=command))
    if signals:
        containers.append(
            _container(
                collector.container,
                "trial",
                args=["--config=env:AF_OTEL_PROBE_CONFIG"],
                config=trial,
            )
        )
    spec = {
        **{
            key: collector.template["spec"][key]
            for key in _POD
            if key in collector.template["spec"]
        },
        "volumes": [
            _volume(each, renamed) for each in collector.template["spec"].get("volumes") or ()
        ],
        "containers": containers,
    }
    meta = {"name": name, "namespace": namespace, "labels": _labels(context)}
    # The configuration names the token of its account, which is not there before the install.
    probe = probes.start({"metadata": meta, "spec": spec}, token=True)
    return Made(probe, namespace, frozenset(signals))


def _container(
    container: Mapping[str, Any],
    name: str,
    config: Mapping[str, Any] | None = None,
    **run: list[str],
) -> dict[str, Any]:
    made = {key: copy.deepcopy(container[key]) for key in _CONTAINER if key in container}
    env = made.setdefault("env", [])
    for each in env:
        # A Secret that is missing is for the check of Secrets to say.
        if reference := (each.get("valueFrom") or {}).get("secretKeyRef"):
            reference["optional"] = True
    if config is not None:
        # JSON is YAML; Kubernetes takes `$(NAME)` for a variable.
        text = json.dumps(config).replace("$", "$$")
        env.append({"name": "AF_OTEL_PROBE_CONFIG", "value": text})
    return {
        **made,
        "name": name,
        **run,
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "1", "memory": "256Mi"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


_LISTENS: dict[str, Any] = {
    "receivers": {"otlp": {"protocols": {"http": {"endpoint": "0.0.0.0:4318"}}}},
    "exporters": {"debug": {}},
    "service": {
        "telemetry": {"metrics": {"level": "none"}},
        "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}},
    },
}


def _volume(volume: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    made = copy.deepcopy(dict(volume))
    if "persistentVolumeClaim" in made:
        return {"name": made["name"], "emptyDir": {}}
    if made.get("configMap", {}).get("name") in renamed:
        made["configMap"]["name"] = renamed[made["configMap"]["name"]]
    for source in [made, *(made.get("projected", {}).get("sources") or ())]:
        for kind in ("secret", "configMap"):
            if kind in source and source[kind].get("name") not in renamed.values():
                source[kind]["optional"] = True
    return made


def _trial(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the destinations' exporters without queues and retries, and their signals."""
    exporters: dict[str, Any] = {}
    pipelines: dict[str, Any] = {}
    for name, signal in _outward(config):
        settings = copy.deepcopy(config["exporters"][name])
        made = {key: value for key, value in settings.items() if key not in _PATIENCE}
        made["retry_on_failure"] = {"enabled": False}
        made[_QUEUES.get(_type(name), "sending_queue")] = {"enabled": False}
        _client(made)["timeout"] = "5s"
        exporters[name] = made
        pipeline = pipelines.setdefault(signal, {"receivers": ["otlp"], "exporters": []})
        pipeline["exporters"].append(name)
    wanted = {(_client(each).get("auth") or {}).get("authenticator") for each in exporters.values()}
    extensions = {
        name: settings
        for name, settings in (config.get("extensions") or {}).items()
        if name in wanted
    }
    trial = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{TRIAL_PORT}"}}}},
        "exporters": exporters,
        "extensions": extensions,
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "extensions": list(extensions),
            "pipelines": pipelines,
        },
    }
    return trial, list(pipelines)


def _outward(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the exporters that send beyond the pod, and the signal of each."""
    seen: set[str] = set()
    for pipeline, parts in (config.get("service", {}).get("pipelines") or {}).items():
        for name in parts.get("exporters") or ():
            settings = (config.get("exporters") or {}).get(name) or {}
            if name in seen or _type(name) not in _EXPORTERS or _stays(settings):
                continue
            seen.add(name)
            yield name, pipeline.partition("/")[0]


def _stays(settings: Mapping[str, Any]) -> bool:
    """Whether an exporter is for the Collector itself: its journal on disk."""
    endpoint = str(_client(settings).get("endpoint", ""))
    return not endpoint or "127.0.0.1" in endpoint


def _client(settings: Any) -> Any:
    """Where an exporter has its address and credentials: some have an `http` of their own."""
    return settings["http"] if isinstance(settings.get("http"), dict) else settings


def _type(name: str) -> str:
    return name.partition("/")[0]
