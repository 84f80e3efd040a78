"""Prove by dry runs which pods the injection policy changes, before and after it is in force.

A dry run goes through all of a cluster's admission, quotas included, and leaves nothing behind.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.kubernetes.errors import ApiError, Forbidden, Invalid, Unreachable
from af_otel.kubernetes.objects import _pod
from af_otel.kubernetes.objects._labels import pods
from af_otel.kubernetes.objects.guard import PROTECTED, guard_name
from af_otel.kubernetes.objects.injection import (
    API,
    INJECT,
    INJECTED,
    TRIAL,
    policy,
    policy_name,
)
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster

PATIENCE = 60.0  # seconds until each API server has a new policy; a few, as a rule
_PAUSE = 0.5
_IMAGE = "af-otel.io/probe:1"  # never pulled
_CONTAINERS = {"hub": "hub", "user": "notebook", "dask": "dask-worker"}


class _AsBefore(AfOtelError):
    """What an API server answers that has not yet heard of the policy."""


@dataclass(frozen=True)
class _Probe:
    """A pod that is asked for and never made, and whether it should come back injected."""

    who: str
    namespace: str
    labels: dict[str, str]
    injected: bool = True
    container: str = "main"
    annotations: dict[str, str] = field(default_factory=dict)
    image: str = _IMAGE
    resources: dict[str, Any] | None = None


def try_injection(cluster: Cluster, facility: Facility, payload: str) -> list[AfOtelError]:
    """Return what is wrong with the policy that would be installed; no real pod meets it.

    Raises
    ------
    AfOtelError
        It cannot be tried: rights are missing, or the API is away.
    """
    # Another one each time: for a second, API servers remember what was tried last.
    trial = secrets.token_hex(8)
    objects = policy(facility, payload, trial=trial)
    try:
        try:
            for each in objects:
                cluster.apply(each, force=True)
        except Invalid as error:
            return [_uncompiled(error)]
        return prove_injection(cluster, facility, trial=trial)
    finally:
        for each in reversed(objects):
            cluster.delete(each)


def prove_injection(
    cluster: Cluster,
    facility: Facility,
    *,
    payload: str = "",
    trial: str = "",
    patience: float = PATIENCE,
) -> list[AfOtelError]:
    """Return what is wrong with the policy in force: none if it injects those it should, and them
    alone.

    It waits for a policy that was just applied.

    Parameters
    ----------
    payload
        What is to be injected: for some seconds an API server goes by the policy as it was before.

    Raises
    ------
    AfOtelError
        It cannot be proven: rights are missing, or the API is away.
    """
    deadline = time.monotonic() + patience
    found = []
    for probe in _probes(cluster, facility):
        while problem := _problem(cluster, facility, probe, payload, trial=trial):
            if not isinstance(problem, _AsBefore) or time.monotonic() > deadline:
                found.append(problem)
                break
            time.sleep(_PAUSE)
    return found


def prove_guard(
    cluster: Cluster, facility: Facility, *, patience: float = PATIENCE
) -> list[AfOtelError]:
    """Wait until a pod that claims another user's identity is refused; return what is wrong if not.

    Raises
    ------
    AfOtelError
        It cannot be proven: rights are missing, or the API is away.
    """
    deadline = time.monotonic() + patience
    name = guard_name(facility)
    for namespace in facility.injected_namespaces:
        probe = _Probe(
            "forged pods",
            namespace,
            {},
            annotations=dict.fromkeys(PROTECTED, "forged"),
            resources=_resources(cluster, namespace, {}),
        )
        while True:
            refusal = _refusal(cluster, probe)
            if name in refusal:
                break
            if time.monotonic() > deadline:
                return [
                    AfOtelError(
                        "Pods may claim another user's identity",
                        where=refusal or f"a dry run in namespace `{namespace}` was not refused",
                        hint="run `af-otel diff`; `privacy: {guard: false}` in facility.yaml does "
                        "without users in telemetry",
                    )
                ]
            time.sleep(_PAUSE)
    return []


def _refusal(cluster: Cluster, probe: _Probe) -> str:
    """Return the API's words for not creating a pod; empty if it would."""
    made = _ask(cluster, _pod_of(probe, ""))
    return made.where if isinstance(made, ApiError) else ""


def prove_removal(cluster: Cluster, facility: Facility, *, patience: float = PATIENCE) -> bool:
    """Wait until a policy that was just removed injects nothing any more; whether it does not."""
    deadline = time.monotonic() + patience
    for probe in _probes(cluster, facility):
        while probe.injected:
            made = _ask(cluster, _pod_of(probe, ""))
            if isinstance(made, ApiError) or INJECTED not in (
                made["metadata"].get("annotations") or {}
            ):
                break
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
    return True


def _probes(cluster: Cluster, facility: Facility) -> Iterator[_Probe]:
    probes = []
    for place in pods(facility):
        resources = _resources(cluster, place.namespace, place.selector)
        for labels in _examples(place.selector):
            who, container = f"{place.role} pods", _CONTAINERS[place.role]
            probes.append(
                _Probe(who, place.namespace, labels, container=container, resources=resources)
            )
    yield from probes
    last = probes[-1]
    yield replace(last, who="pods that refuse", injected=False, annotations={INJECT: "false"})
    yield replace(last, who="other pods", injected=False, labels={})
    for pattern in facility.injection.exclude_images:
        image = pattern.replace("*", "x")
        yield replace(last, who=f"pods with image `{pattern}`", injected=False, image=image)
    elsewhere = Ref("v1", "Namespace", facility.namespace)
    if facility.namespace not in facility.injected_namespaces and cluster.get(elsewhere):
        yield replace(last, who="pods elsewhere", injected=False, namespace=facility.namespace)


def _examples(selector: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Labels that a selector chooses: one set for each value of its longest list."""
    lists = {each["key"]: each["values"] for each in selector.get("matchExpressions") or ()}
    for number in range(max([1, *map(len, lists.values())])):
        labels = dict(selector.get("matchLabels") or {})
        labels |= {key: values[number % len(values)] for key, values in lists.items()}
        yield labels


def _resources(cluster: Cluster, namespace: str, selector: dict[str, Any]) -> dict[str, Any]:
    """What a pod of that kind asks for: quotas and limit ranges let that pass."""
    wanted = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    wanted += [
        f"{each['key']} in ({','.join(each['values'])})"
        for each in selector.get("matchExpressions") or ()
    ]
    for pod in cluster.list("Pod", namespace=namespace, labels=",".join(wanted)):
        found: dict[str, Any] = pod["spec"]["containers"][0].get("resources") or {}
        return {name: found[name] for name in ("requests", "limits") if found.get(name)}
    small = {"cpu": "10m", "memory": "64Mi"}
    return {"requests": small, "limits": small}


def _problem(
    cluster: Cluster, facility: Facility, probe: _Probe, payload: str, *, trial: str
) -> AfOtelError | None:
    made = _ask(cluster, _pod_of(probe, trial))
    if isinstance(made, ApiError):
        return _refused(cluster, facility, probe, made, trial=trial)
    if INJECTED not in (made["metadata"].get("annotations") or {}):
        return _untouched(cluster, facility, trial=trial, who=probe) if probe.injected else None
    if not probe.injected:
        return _AsBefore(
            f"{_sentence(probe.who)} would be injected, and should not",
            where=f"a dry run in namespace `{probe.namespace}`",
            hint="make `selector` in facility.yaml so narrow that it chooses no others",
        )
    ref = Ref("v1", "ConfigMap", _payload_of(made), probe.namespace)
    if payload and ref.name != payload:
        return _AsBefore(
            f"{_sentence(probe.who)} are injected with another payload",
            where=f"{ref} instead of `{payload}`",
            hint="run `af-otel diff`: is there another policy that injects?",
        )
    if cluster.get(ref) is None:
        return AfOtelError(
            f"{_sentence(probe.who)} would start without the payload, and run untraced",
            where=f"{ref} is not there",
            hint="run `af-otel install` again",
        )
    return None


def _ask(cluster: Cluster, pod: dict[str, Any]) -> dict[str, Any] | ApiError:
    try:
        return cluster.create(pod, dry_run=True)
    except (Forbidden, Unreachable):
        raise
    except ApiError as error:
        return error


def _pod_of(probe: _Probe, trial: str) -> dict[str, Any]:
    """A pod that namespaces with the strictest pod security let pass."""
    labels = probe.labels | ({TRIAL: trial} if trial else {})
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "af-otel-probe-",
            "namespace": probe.namespace,
            "labels": labels,
            "annotations": probe.annotations,
        },
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": probe.container,
                    "image": probe.image,
                    "securityContext": security,
                    "resources": probe.resources or {},
                }
            ],
        },
    }


def _payload_of(pod: dict[str, Any]) -> str:
    for volume in pod["spec"].get("volumes") or ():
        if volume["name"] == _pod.PAYLOAD_VOLUME:
            return str(volume["configMap"]["name"])
    return ""


def _refused(
    cluster: Cluster, facility: Facility, probe: _Probe, error: ApiError, *, trial: str
) -> AfOtelError:
    name = policy_name(facility, trial=trial)
    if f"policy '{name}'" in error.where:
        said = error.where.rpartition("resulted in error: ")[2]
        return AfOtelError(
            f"The injection policy fails on {probe.who}",
            where=said,
            hint="please report this with the pod; `injection: {route: helm}` does without it",
        )
    # The same pod without us tells whose doing it is.
    plain = replace(probe, annotations={**probe.annotations, INJECT: "false"})
    made = _ask(cluster, _pod_of(plain, trial))
    if isinstance(made, ApiError):
        return AfOtelError(
            f"Whether {probe.who} are injected cannot be told: `{probe.namespace}` takes no more",
            where=made.where,
            hint="make room in its quota, and try again",
        )
    return AfOtelError(
        f"{_sentence(probe.who)} are refused when they are injected",
        where=error.where,
        hint="let that policy pass init containers of the pods' own image, or use another route",
    )


def _untouched(cluster: Cluster, facility: Facility, *, trial: str, who: _Probe) -> AfOtelError:
    name = policy_name(facility, trial=trial)
    where = f"a dry run in namespace `{who.namespace}` with the labels {_written(who.labels)}"
    for kind in ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"):
        if cluster.get(Ref(API, kind, name)) is None:
            where = f"{kind} `{name}` is not there"
            break
    return _AsBefore(
        f"{_sentence(who.who)} are not injected",
        where=where,
        hint="run `af-otel diff`; `injection.exclude_images` in facility.yaml leaves pods out, too",
    )


def _uncompiled(error: Invalid) -> AfOtelError:
    """The API repeats the expression, which is pages, before it says what is wrong."""
    said = error.where.partition("compilation failed: ")[2] or error.where
    return AfOtelError(
        "This cluster does not understand the injection policy",
        where=" ".join(said.split())[:400],
        hint="`injection: {route: helm}` in facility.yaml does without it",
    )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _written(labels: dict[str, str]) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in labels.items())
