"""The policy that protects identity, and what the Collector believes with it and without."""

from __future__ import annotations

import pytest
from inline_snapshot import snapshot
from rendered import HUB, a_facility, pods, rendered

from af_otel.kubernetes.objects import notes
from af_otel.kubernetes.objects.facts import Facts

NAME = "ValidatingAdmissionPolicy af-otel-casa-identity"


def believed(facility, **facts):
    """Return what the Collector is told of the policy and the hub."""
    container = pods(facility, **facts)["af-otel-collector"]["spec"]["containers"][0]
    env = {item["name"]: item.get("value") for item in container["env"]}
    return env["AF_OTEL_GUARDED"], env["AF_OTEL_HUB_WORKLOAD"]


@pytest.mark.parametrize(
    ("guard", "version", "there"),
    [(True, (1, 30), True), (True, (1, 29), False), (False, (1, 37), False)],
)
@pytest.mark.parametrize("route", ["helm", "auto"])
def test_the_collector_believes_what_is_protected(guard, version, there, route):
    """On every route, as the hub annotates pods on every route."""
    facility = a_facility(privacy={"guard": guard}, injection={"route": route})
    assert (NAME in rendered(facility, version=version, hub=HUB)) is there
    assert believed(facility, version=version, hub=HUB) == (str(there).lower(), "hub")
    said = notes(facility, Facts(version=version, storage=True, hub=HUB))
    assert any("No telemetry has `user.hash`" in note for note in said) is not there


def test_without_a_hub_nobody_may_claim_anything():
    """It is not there yet, or is run by nothing that could be told from others."""
    found = rendered(a_facility())
    assert len(found[NAME]["spec"]["validations"]) == 2
    assert believed(a_facility()) == ("true", "")
    assert "no Deployment or StatefulSet" in notes(a_facility(), Facts(storage=True))[0]


def test_refusals_say_who_may():
    """The words that who creates a pod is answered with."""
    policy = rendered(a_facility(), hub=HUB)[NAME]["spec"]
    assert [each["message"] for each in policy["validations"]] == snapshot(
        [
            (
                "Annotation af-otel.io/session-id says whose telemetry a pod sends, "
                "and may be set only by service account jhub:hub"
            ),
            (
                "Annotation af-otel.io/user-hash says whose telemetry a pod sends, "
                "and may be set only by service account jhub:hub"
            ),
            (
                "Label component=hub is the hub's, whose telemetry is believed about every user: "
                "only controllers may create such pods, or change their label or owner"
            ),
        ]
    )
    assert policy["failurePolicy"] == "Fail"
