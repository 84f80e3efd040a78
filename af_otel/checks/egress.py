"""By z2jh's default policy users' pods reach the internet but nothing in the cluster, and telemetry
that finds no way is dropped without a word to anybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from af_otel.checks import _egress, _look, _policies, _templates
from af_otel.checks._registry import check
from af_otel.checks.finding import Finding, Unchecked
from af_otel.errors import AfOtelError
from af_otel.kubernetes.errors import Forbidden
from af_otel.kubernetes.objects import network
from af_otel.kubernetes.objects._labels import FACILITY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks._look import View
    from af_otel.checks._policies import Reading
    from af_otel.checks._sources import Chart, Object
    from af_otel.checks._templates import Template
    from af_otel.checks.context import Context

    Found = Iterator[Finding | Unchecked]

_WHY = "Their telemetry would be lost; what they run is not affected"
_SECTIONS = {"hub": "hub", "user": "singleuser"}


@check("Network", "Do users' pods reach the Collector?", source="files")
def users_pods_reach_the_collector(context: Context) -> Found:
    """Tried by a probe with their labels, image and account; policies are read for the reason."""
    yield from _reaches(context, "user")


@check("Network", "Do Dask's pods reach the Collector?", source="files")
def dask_pods_reach_the_collector(context: Context) -> Found:
    """Like users' pods."""
    yield from _reaches(context, "dask")


@check("Network", "Does the hub reach the Collector?", source="files")
def the_hub_reaches_the_collector(context: Context) -> Found:
    """Tried from within the hub's own pod."""
    yield from _reaches(context, "hub")


def _reaches(context: Context, role: str) -> Found:
    if context.cluster is None:
        yield from _by_reading(context, role)
        return
    views = [view for view in _look.views(context) if view.template.place.role == role]
    target = _egress.target(context)
    if not views:
        places = [place for place in context.places if place.role == role]
        for place in places:
            yield Unchecked(
                f"no pod of {_templates.ROLES[role]} runs in `{place.namespace}`, and nothing says "
                "which image they would have"
            )
    for view in views:
        reading = _reading(context, view.template)
        if view.problem is not None:
            why = f"{view.template.role}: {view.problem.what}"
            yield Unchecked(f"{why} ({view.problem.where})", view.problem.hint)
        elif "reach" not in (view.found or {}):
            why = target.why_not or f"image `{view.template.image}` has nothing to try it with"
            yield Unchecked(f"nothing could be reached: {why}", target.hint)
        else:
            yield from _judged(context, view, reading, target)
            continue
        if not reading.allowed:
            yield _blocked_by_policy(context, view.template, reading, proven=False)


def _judged(context: Context, view: View, reading: Reading, target: _egress.Target) -> Found:
    """What a probe's attempt means."""
    reach: dict[str, Any] = (view.found or {})["reach"]
    role, namespace = view.template.role, view.template.place.namespace
    if reach["ok"] and "dns" in reach:
        yield Finding(
            "blocks",
            f"{_sentence(role)} cannot look up names in the cluster",
            f"`{target.address}` from `{namespace}`: {reach['dns']}; its address is reached",
            _WHY,
            _DNS,
        )
        return
    if reach["ok"] and (view.opened is None or reach["seconds"] < view.opened):
        if not reading.allowed:
            yield Finding(
                "info",
                f"{_does(role, 'reach')} the Collector though no NetworkPolicy allows it",
                f"{_named(reading)} in `{namespace}`; this network seems to enforce none",
                "Nothing now; `install` adds the NetworkPolicy for the day it does",
                _mend(context, view.template),
                _rendered(context, namespace) if target.installed else (),
            )
        return
    if reach["ok"]:
        yield _blocked_by_policy(context, view.template, reading, proven=True)
        return
    said = reach["error"] or reach["dns"]
    tried = "also with a NetworkPolicy that allows it, " if view.opened is not None else ""
    cause = _named(reading) if reading.isolated else "no NetworkPolicy chooses them"
    yield Finding(
        "blocks",
        f"{_sentence(role)} cannot reach {target.named}",
        f"from a probe with their labels and image in `{namespace}`, {tried}for "
        f"{_look.PATIENCE} s: {said}; {cause}",
        _WHY,
        _mend(context, view.template)
        if reading.isolated and view.opened is None
        else _BEYOND.format(namespace=context.facility.namespace, from_=namespace),
    )


_BEYOND = (
    "# something else than NetworkPolicies drops it: look for policies of the network's own\n"
    "kubectl get ciliumnetworkpolicies,globalnetworkpolicies.crd.projectcalico.org,"
    "authorizationpolicies.security.istio.io -A\n"
    "# and let TCP 4317 and 4318 pass from `{from_}` to `{namespace}`"
)
_DNS = (
    "# merge into the NetworkPolicy of those pods\n"
    "egress:\n"
    "- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]\n"
    "  to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]"
)


def _blocked_by_policy(
    context: Context, template: Template, reading: Reading, *, proven: bool
) -> Finding:
    place = template.place
    installed = _egress.target(context).installed if context.cluster else False
    fix = _rendered(context, place.namespace) if installed else []
    how = "proven by a probe" if proven else "as read, not tried"
    return Finding(
        # An install, also one that is run again, mends it: it must not stop that.
        "warns",
        f"{_sentence(template.role)} may not reach the Collector{'' if installed else ' yet'}",
        f"{_named(reading)} in `{place.namespace}` ({how})",
        _WHY if installed else "`install` adds the NetworkPolicy below; the values would do, too",
        _mend(context, template),
        fix,
    )


def _reading(context: Context, template: Template) -> Reading:
    namespace = template.place.namespace
    try:
        found = context.policies(namespace)
    except Forbidden:  # a probe tells what is so, if not why
        found = ()
    policies = [
        policy
        for policy in found
        if "af-otel.io/probe" not in (policy["metadata"].get("labels") or {})
    ]
    peer = _egress.collector(context)
    return _policies.read(
        policies, "Egress", template.labels, peer, _egress.PORT, namespace=namespace
    )


def _rendered(context: Context, namespace: str) -> list[Object]:
    """The policies that install makes there."""
    try:
        rendered = context.rendered
    except AfOtelError:
        return []
    return [
        obj
        for obj in rendered
        if obj["kind"] == "NetworkPolicy"
        and obj["metadata"]["namespace"] == namespace
        and obj["metadata"]["name"].startswith(network.egress_name(context.facility))
    ]


def _rule(context: Context) -> dict[str, Any]:
    peer = _egress.collector(context)
    end = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": peer.namespace}},
        "podSelector": {"matchLabels": dict(peer.labels)},
    }
    return {"to": [end], "ports": [{"port": port, "protocol": "TCP"} for port in (4317, 4318)]}


def _mend(context: Context, template: Template) -> str:
    """The NetworkPolicy, and the values that do the same."""
    place = template.place
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": network.egress_name(context.facility),
            "namespace": place.namespace,
            "labels": {FACILITY: context.facility.name},
        },
        "spec": {
            "podSelector": place.selector,
            "policyTypes": ["Egress"],
            "egress": [_rule(context)],
        },
    }
    text = "# what `install` applies, in short\n" + _yaml(policy)
    for chart in context.charts:
        if chart.name == "jupyterhub" and (section := _SECTIONS.get(place.role)):
            values = {section: {"networkPolicy": {"egress": [_rule(context)]}}}
            return f"{text}\n# or:\n{chart.yaml(values)}"
    return text


def _by_reading(context: Context, role: str) -> Found:
    """Of files: the policies in them, or else what the chart's values would make."""
    said = False
    for place in context.places:
        if place.role != role or not context.policies(place.namespace):
            continue
        said = True
        templates = _templates.of(context, place)
        labels = dict(templates[0].labels) if templates else {}
        labels |= place.selector.get("matchLabels") or {}
        template = templates[0] if templates else _templates.bare(place, labels)
        reading = _reading(context, template)
        if not reading.allowed:
            yield _blocked_by_policy(context, template, reading, proven=False)
    section = _SECTIONS.get(role)
    for chart in context.charts:
        if chart.name == "jupyterhub" and section and not said:
            said = True
            yield from _values(context, chart, section, role)
    if not said:
        whose = _templates.ROLES[role]
        yield Unchecked(f"the files have no NetworkPolicies, and no values for {whose}")


def _values(context: Context, chart: Chart, section: str, role: str) -> Found:
    key = f"{section}.networkPolicy"
    enabled = chart.value(f"{key}.enabled", default=True)
    private = chart.value(f"{key}.egressAllowRules.privateIPs", default=role == "hub")
    peer = _egress.collector(context)
    extra = {
        "metadata": {"name": "extra"},
        "spec": {"policyTypes": ["Egress"], "egress": chart.value(f"{key}.egress", [])},
    }
    opened = _policies.read([extra], "Egress", {}, peer, _egress.PORT, namespace="")
    if not enabled or private or opened.allowed:
        return
    yield Finding(
        "warns",
        f"{_sentence(_templates.ROLES[role])} may not reach the Collector",
        f"{chart.at(key + '.egress')} does not name it, and `egressAllowRules.privateIPs` is "
        "false (the chart's default)",
        "`install` adds a NetworkPolicy for it; with the values below it need not",
        chart.yaml({section: {"networkPolicy": {"egress": [_rule(context)]}}}),
    )


def _named(reading: Reading) -> str:
    names = ", ".join(f"`{name}`" for name in reading.policies)
    policies = "NetworkPolicies" if len(reading.policies) > 1 else "NetworkPolicy"
    return f"{policies} {names}"


def _does(role: str, verb: str) -> str:
    return f"{_sentence(role)} {verb}{'es' if role == _templates.ROLES['hub'] else ''}"


def _sentence(role: str) -> str:
    return role[0].upper() + role[1:]


def _yaml(obj: Any) -> str:
    return str(yaml.safe_dump(obj, sort_keys=False, default_flow_style=None, width=100)).rstrip()
