"""The injection policy as it is rendered; what it does to pods is told on a cluster."""

from __future__ import annotations

import json
import re

import pytest

from af_otel.facility import Facility
from af_otel.kubernetes.objects import _pod
from af_otel.kubernetes.objects.injection import TRIAL, excludes, policy, policy_name


def facility(**settings):
    return Facility.model_validate(
        {
            "name": "lab",
            "hub": {"namespace": "hub"},
            "users": {"namespaces": ["users", "hub"]},
            "dask": [{"namespaces": ["dask"], "selector": {"a/b": ["x", "y"], "c": ""}}],
            "destinations": {
                "traces": {"tempo": {"endpoint": "http://tempo:4318"}},
                "metrics": {"remote_write": {"endpoint": "http://prometheus:9090/api/v1/write"}},
            },
            **settings,
        }
    )


def test_the_policy_is_bound_to_the_facilitys_namespaces_and_silent_in_earnest():
    """In a trial it meets the trial's pods alone, and fails aloud."""
    made, binding = policy(facility(), "payload-1")
    (chosen,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert chosen["values"] == ["dask", "hub", "users"]
    assert binding["spec"]["policyName"] == made["metadata"]["name"] == "af-otel-lab"
    assert made["spec"]["failurePolicy"] == "Ignore"
    trial, _ = policy(facility(), "payload-1", trial="1a2b")
    assert trial["metadata"]["name"] == policy_name(facility(), trial="1a2b") == "af-otel-lab.trial"
    assert trial["spec"]["failurePolicy"] == "Fail"
    selector = trial["spec"]["matchConstraints"]["objectSelector"]
    assert selector == {"matchLabels": {TRIAL: "1a2b"}}
    assert trial["spec"]["mutations"] == made["spec"]["mutations"]


def test_a_selector_may_name_several_values_and_an_empty_one():
    """A label that is absent is no empty label."""
    made, _ = policy(facility(), "payload-1")
    (chosen,) = (
        each["expression"] for each in made["spec"]["matchConditions"] if each["name"] == "chosen"
    )
    assert (
        '(request.namespace in ["dask"] && object.metadata.?labels["a/b"].hasValue() && '
        'object.metadata.?labels["a/b"].value() in ["x", "y"] && '
        'object.metadata.?labels["c"].hasValue() && object.metadata.?labels["c"].value() in [""])'
    ) in chosen


def test_the_same_facility_makes_the_same_policy():
    """A plan shows what differs, and nothing else ever does."""
    first, second = (json.dumps(policy(facility(), "payload-1")) for _ in range(2))
    assert first == second
    assert json.dumps(policy(facility(), "payload-2")) != first


@pytest.mark.parametrize(
    ("pattern", "image", "excluded"),
    [
        ("ghcr.io/o/n", "ghcr.io/o/n", True),
        ("ghcr.io/o/n", "ghcr.io/o/n:1", True),
        ("ghcr.io/o/n", "ghcr.io/o/n@sha256:00", True),
        ("ghcr.io/o/n", "ghcr.io/o/n:1@sha256:00", True),
        ("ghcr.io/o/n:1", "ghcr.io/o/n:1@sha256:00", True),
        ("ghcr.io/o/n:1", "ghcr.io/o/n:10@sha256:00", False),
        ("ghcr.io/o/n", "ghcr.io/o/n2:1", False),
        ("ghcr.io/o/n", "ghcr.io/o/n/m:1", False),
        ("ghcr.io/o/n", "mirror/ghcr.io/o/n:1", False),
        ("ghcr.io/o/n:1", "ghcr.io/o/n:1", True),
        ("ghcr.io/o/n:1", "ghcr.io/o/n:12", False),
        ("ghcr.io/o/*:*", "ghcr.io/o/n:12", True),
        ("ghcr.io/o/*", "ghcr.io/o/n/m:12", True),
        ("host:5000/n", "host:5000/n:1", True),
        ("g.cr/n", "gxcr/n", False),
        ("*", "anything/at:all", True),
    ],
)
def test_an_image_is_excluded_by_name_tag_digest_or_pattern(pattern, image, excluded):
    """Here and in the policy by the same regular expression, which both languages read alike."""
    known = facility(injection={"exclude_images": [pattern]})
    assert excludes(known, image) is excluded
    made, _ = policy(known, "payload-1")
    (condition,) = (
        each["expression"]
        for each in made["spec"]["matchConditions"]
        if each["name"] == "not-excluded"
    )
    written = json.loads(re.search(r"matches\((\".*?\")\)", condition)[1])
    assert bool(re.search(written, image)) is excluded


def test_the_init_step_is_bounded_in_time_and_always_ends_well():
    """What its script says; that it does so is told by running it."""
    sh, option, script, *_ = _pod.command()
    assert (sh, option) == ("sh", "-c")
    assert "sleep 15 && kill -9" in script
    assert script.rstrip().endswith("exit 0")
