"""The policy that puts af-otel into a facility's pods while they are made.

One JSON patch, in the language of admission policies (CEL): it reads the pod alone, so what it does
to a pod can be seen by a dry run. Whoever made the pod, and whatever restarts it, plays no part.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from af_otel import __version__
from af_otel.kubernetes.objects import _pod
from af_otel.kubernetes.objects._labels import metadata, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.facility import Facility
    from af_otel.facility.values import Selector

API = "admissionregistration.k8s.io/v1"
INJECT = "af-otel.io/inject"  # "true", "false", or "zip": without an init container
INJECTED = "af-otel.io/injected"
CHOOSES = "af-otel.io/chooses"  # which pods, on the binding: for checks of other facilities
TRIAL = "af-otel.io/trial"  # a label of pods that are only dry runs, with the trial's own value
ZIP = "zip"
# What the spawner, the charts and the operator call the container that matters: others may come
# before it, and the init step needs the image that has Python.
_MAIN = ("hub", "notebook", "dask-scheduler", "dask-worker", "scheduler", "worker")
# What is unpacked takes 6 MB; to unpack it, a Python of 24 MB.
_ROOM = "64Mi"
# Of the main container, whatever limits or secures it.
_COPIED = ("imagePullPolicy", "securityContext", "resources", "envFrom")


def policy_name(facility: Facility, *, trial: str = "") -> str:
    """The name of the policy and its binding."""
    # No facility's name has a dot: a trial is never another one's policy.
    return f"af-otel-{facility.name}" + (".trial" if trial else "")


def policy(facility: Facility, payload: str, *, trial: str = "") -> list[dict[str, Any]]:
    """Return the MutatingAdmissionPolicy and its binding.

    Parameters
    ----------
    payload
        The name of the payload's ConfigMap in every injected namespace.
    trial
        The same for pods alone that have this value as their label `TRIAL`, where an expression
        that fails is told. In earnest it is silent, and the pod is made as it would have been.
    """
    meta = metadata(facility, policy_name(facility, trial=trial))
    tried = {"key": TRIAL, "operator": "DoesNotExist"}
    created = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods"],
    }
    in_namespaces = {
        "key": "kubernetes.io/metadata.name",
        "operator": "In",
        "values": sorted(facility.injected_namespaces),
    }
    spec = {
        "failurePolicy": "Fail" if trial else "Ignore",
        # Others may add labels and containers after us.
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": {
            "resourceRules": [created],
            "objectSelector": (
                {"matchLabels": {TRIAL: trial}} if trial else {"matchExpressions": [tried]}
            ),
        },
        "matchConditions": _named(_conditions(facility)),
        "variables": _named(_variables()),
        "mutations": [
            {"patchType": "JSONPatch", "jsonPatch": {"expression": _patch(facility, payload)}}
        ],
    }
    binding = {
        "policyName": meta["name"],
        "matchResources": {"namespaceSelector": {"matchExpressions": [in_namespaces]}},
    }
    kind = "MutatingAdmissionPolicy"
    chosen = [{"namespace": each.namespace, "selector": each.selector} for each in pods(facility)]
    told = meta | {"annotations": {CHOOSES: json.dumps(chosen)}}
    return [
        {"apiVersion": API, "kind": kind, "metadata": meta, "spec": spec},
        {"apiVersion": API, "kind": f"{kind}Binding", "metadata": told, "spec": binding},
    ]


def _named(expressions: Iterator[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "expression": expression} for name, expression in expressions]


def _conditions(facility: Facility) -> Iterator[tuple[str, str]]:
    """Which pods: the API refuses names with more than letters, digits and `-`."""
    yield "chosen", f"{_INJECT} == 'true' || {_INJECT} == '{ZIP}' || (\n{_chosen(facility)}\n)"
    yield "not-refused", f"{_INJECT} != 'false'"
    if facility.injection.exclude_images:
        excluded = " || ".join(
            f"c.?image.orValue('').matches({_text(_regex(pattern))})"
            for pattern in facility.injection.exclude_images
        )
        yield "not-excluded", f"!object.spec.containers.exists(c, {excluded})"
    # Once is enough; and what has our names without being ours is left as it is.
    named = f"n.name in ['{_pod.NAME}', '{_pod.PAYLOAD_VOLUME}']"
    lists = ("object.spec.containers", "object.spec.?initContainers", "object.spec.?volumes")
    yield "names-are-free", " && ".join(f"!{_items(each)}.exists(n, {named})" for each in lists)
    taken = f"m.mountPath == '{_pod.HOME}' || m.mountPath.startsWith('{_pod.HOME}/')"
    mounts = _items("c.?volumeMounts")
    yield "path-is-free", f"!object.spec.containers.exists(c, {mounts}.exists(m, {taken}))"
    # The kubelet counts our volume against what the containers may write, and evicts.
    yield "has-room", f"object.spec.containers.all(c, {_at_least('c', 'ephemeral-storage')})"
    # The field is seldom set; who has Windows nodes chooses them by their label.
    systems = ("object.spec.?os.?name", "object.spec.?nodeSelector['kubernetes.io/os']")
    yield "linux", " && ".join(f"{each}.orValue('linux') == 'linux'" for each in systems)


def _at_least(limited: str, what: str) -> str:
    limit = f"{limited}.?resources.?limits['{what}']"
    enough = f"quantity(string({limit}.value())).compareTo(quantity('{_ROOM}')) >= 0"
    return f"(!{limit}.hasValue() || {enough})"


_INJECT = f"object.metadata.?annotations['{INJECT}'].orValue('').lowerAscii()"


def _chosen(facility: Facility) -> str:
    places = [
        ([facility.hub.namespace], facility.hub.selector),
        (facility.users.namespaces, facility.users.selector),
        *((entry.namespaces, entry.selector) for entry in facility.dask),
    ]
    return " ||\n".join(_place(namespaces, selector) for namespaces, selector in places)


def _place(namespaces: list[str], selector: Selector) -> str:
    tests = [f"request.namespace in {_text(namespaces)}"]
    for key, value in selector.items():
        values = [value] if isinstance(value, str) else value
        label = f"object.metadata.?labels[{_text(key)}]"
        # A label may be empty, and absent is not that.
        tests.append(f"{label}.hasValue() && {label}.value() in {_text(values)}")
    return "  (" + " && ".join(tests) + ")"


def excludes(facility: Facility, image: str) -> bool:
    """Whether pods with an image are left alone, as the policy sees it."""
    return any(re.match(_regex(pattern), image) for pattern in facility.injection.exclude_images)


def _regex(pattern: str) -> str:
    """Return an image pattern as a regular expression.

    Without a tag it matches all tags, and without a digest all digests.
    """
    required = ".*".join(re.escape(part) for part in pattern.split("*"))
    _, _, last = pattern.rpartition("/")
    any_tag = "" if ":" in last else "(:[^/@]*)?"
    return f"^{required}$" if "@" in last else f"^{required}{any_tag}(@.*)?$"


def _items(field: str) -> str:
    return f"{field}.orValue([])" if "?" in field else field


def _variables() -> Iterator[tuple[str, str]]:
    default = "object.metadata.?annotations['kubectl.kubernetes.io/default-container'].orValue('')"
    named, known = (
        f"object.spec.containers.transformList(i, c, {test}, i)"
        for test in (f"c.name == {default}", f"c.name in {_text(_MAIN)}")
    )
    yield "main", f"({named} + {known} + [0])[0]"  # its index
    yield "image", "object.spec.containers[variables.main].?image.orValue('')"
    yield "unpacked", f"{_INJECT} != '{ZIP}'"
    # Out of memory, the step is killed, and with it a pod that is never restarted.
    bounds = ("object.spec.containers[variables.main]", "object.spec")
    yield "fits", " && ".join(_at_least(each, "memory") for each in bounds)


def _patch(facility: Facility, payload: str) -> str:
    """Return the patch, in the order in which it is applied."""
    main = "object.spec.containers[variables.main]"
    init = _object(_pod.init_container(_Cel("variables.image")), "Object.spec.initContainers")
    copied = [
        f"(has({main}.{field}) ? [JSONPatch{{op: 'copy', "
        f"from: '/spec/containers/' + string(variables.main) + '/{field}', "
        f"path: '/spec/initContainers/0/{field}'}}] : [])"
        for field in _COPIED
    ]
    steps = [
        _missing("object.metadata.annotations", "/metadata/annotations", "{}"),
        f"[{_add(f'/metadata/annotations/{_escaped(INJECTED)}', _text(__version__))}]",
        _missing("object.spec.volumes", "/spec/volumes", "[]"),
        "(variables.unpacked ? "
        + " + ".join(
            [
                _each(_pod.volumes(payload), "/spec/volumes/-", "Object.spec.volumes"),
                _missing("object.spec.initContainers", "/spec/initContainers", "[]"),
                f"[{_add('/spec/initContainers/0', init)}]",
                *copied,
            ]
        )
        + " : "
        + _each([_pod.payload_volume(payload)], "/spec/volumes/-", "Object.spec.volumes")
        + ")",
        "object.spec.containers.transformList(i, c, c.?image.orValue('') == variables.image,\n"
        + " +\n".join(_container(facility))
        + ").flatten()",
    ]
    return "variables.fits ?\n" + " +\n".join(steps) + " : []"


def _container(facility: Facility) -> Iterator[str]:
    """The steps for one container `c` at `i`. What it has is added to, never replaced: its own
    PYTHONPATH comes behind ours by reference, so it may come from anywhere.
    """
    kind = "Object.spec.containers"

    def add(field: str, value: str) -> str:
        return _add_at(f"'/spec/containers/' + string(i) + '/{field}'", value)

    env = _items("c.?env")
    yield f"(has(c.env) ? [] : [{add('env', '[]')}])"
    own = f"{env}.exists(e, e.name == 'PYTHONPATH') || {_items('c.?envFrom')}.size() > 0"
    path = (
        f"(variables.unpacked ? '{_pod.HOME}' : '{_pod.ARCHIVE}') + "
        f"({own} ? ':$(PYTHONPATH)' : variables.unpacked ? ':{_pod.IMAGES_OWN}' : '')"
    )
    yield f"[{add('env/-', _variable('PYTHONPATH', path))}]"
    for name, value in _pod.variables(facility).items():
        there = f"{env}.exists(e, e.name == {_text(name)})"
        yield f"({there} ? [] : [{add('env/-', _variable(name, _text(value)))}])"
    yield f"(has(c.volumeMounts) ? [] : [{add('volumeMounts', '[]')}])"
    unpacked, packed = (
        _object(_pod.mount(volume), f"{kind}.volumeMounts")
        for volume in (_pod.NAME, _pod.PAYLOAD_VOLUME)
    )
    yield f"[{add('volumeMounts/-', f'variables.unpacked ? {unpacked} : {packed}')}]"


def _variable(name: str, value: str) -> str:
    return f"Object.spec.containers.env{{name: {_text(name)}, value: {value}}}"


def _missing(field: str, path: str, empty: str) -> str:
    return f"(has({field}) ? [] : [{_add(path, empty)}])"


def _each(values: list[dict[str, Any]], path: str, kind: str) -> str:
    return "[" + ", ".join(_add(path, _object(value, kind)) for value in values) + "]"


def _add(path: str, value: str) -> str:
    return _add_at(f"'{path}'", value)


def _add_at(path: str, value: str) -> str:
    return f"JSONPatch{{op: 'add', path: {path}, value: {value}}}"


class _Cel(str):
    """An expression, where else a value would be."""

    __slots__ = ()


def _object(value: Any, kind: str) -> str:
    """Write a value as CEL: an object's type is its place in the pod."""
    if isinstance(value, _Cel):
        return value
    if isinstance(value, dict):
        fields = (f"{name}: {_object(item, f'{kind}.{name}')}" for name, item in value.items())
        return f"{kind}{{{', '.join(fields)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_object(item, kind) for item in value)}]"
    return _text(value)


def _text(value: Any) -> str:
    """Write a string, a truth value or a list of strings: JSON's form is one of CEL's."""
    return json.dumps(value)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
