"""Whose pods are whose, where several facilities share a namespace."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from af_otel.checks import run
from af_otel.checks._sources import Files
from af_otel.checks.context import Context
from af_otel.kubernetes.objects.injection import CHOOSES
from tests.rendered import a_facility, rendered

HUB = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "hub",
        "namespace": "jhub",
        "labels": {"component": "hub", "release": "mine"},
    },
}


def of_release(release, **sections):
    selectors = {
        part: {"selector": {"component": component, "release": release}}
        for part, component in (("hub", "hub"), ("users", "singleuser-server"))
    }
    selectors["hub"]["namespace"] = "jhub"
    return a_facility(name=release, dask=[], **selectors | sections)


def findings(other, *, annotations=None):
    binding = rendered(other)[f"MutatingAdmissionPolicyBinding af-otel-{other.name}"]
    if annotations is not None:
        binding["metadata"]["annotations"] = annotations
    live = SimpleNamespace(host="", list=lambda *_, **__: [binding])
    context = Context(of_release("mine"), Files([HUB]), cluster=live)
    report = run.run(context, run.chosen(["chosen-once"]))
    assert not report.unchecked
    return [(each.severity, each.what) for each in report.findings]


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (of_release("other"), []),
        (of_release("other", hub={"namespace": "elsewhere"}), []),
        (
            of_release("other", hub={"namespace": "jhub"}),
            [("blocks", "Facility `other` injects the hub in `jhub` as well")],
        ),
        (
            of_release("other", users={}),
            [("warns", "Facility `other` would inject users' pods in `jhub` as well")],
        ),
    ],
)
def test_facilities_may_share_a_namespace_but_no_pods(other, found):
    """Selectors that no pod can have both of are no hindrance; those that nobody has yet warn."""
    assert findings(other) == found


@pytest.mark.parametrize("told", [{}, {CHOOSES: "{"}, {CHOOSES: "3"}, {CHOOSES: '[{"a": 1}]'}])
def test_a_facility_that_does_not_tell_its_pods_may_have_all_of_them(told):
    """As an older af-otel installed it, or somebody has edited it since."""
    found = findings(of_release("other"), annotations=told)
    assert [severity for severity, _ in found] == ["blocks"]
