"""Quotas against what an install adds, beside the probes of other checks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from af_otel.checks import run
from af_otel.checks._sources import Files
from af_otel.checks.context import PROBE, Context
from af_otel.kubernetes.objects.facts import Facts
from tests.rendered import a_facility

PLACE = {"namespace": "af-otel"}
SMALL = {"requests": {"cpu": "30m", "memory": "64Mi"}, "limits": {"memory": "768Mi"}}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probe", "labels": {PROBE: "run"}, **PLACE},
    "spec": {"containers": [{"name": "probe", "resources": SMALL}]},
}
RANGE = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "range", **PLACE},
    "spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]},
}


def quota(hard, used):
    meta = {"name": "quota", **PLACE}
    status = {"hard": hard, "used": used}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": meta,
        "spec": {"hard": hard},
        "status": status,
    }


def findings(*objects):
    live = SimpleNamespace(host="", get=lambda _: None, list=Files([]).list, version=(1, 37))
    context = Context(a_facility(), Files(objects), cluster=live, facts=lambda: Facts((1, 37)))
    report = run.run(context, run.chosen(["quotas"]))
    assert not report.unchecked
    return [(each.what.rpartition(": ")[2], each.where) for each in report.findings]


@pytest.mark.parametrize(
    ("hard", "used"),
    [
        ({"pods": "1"}, {"pods": "1"}),
        ({"limits.memory": "1152Mi"}, {"limits.memory": "768Mi"}),
        ({"requests.cpu": "110m"}, {"requests.cpu": "30m"}),
    ],
)
def test_a_quota_that_is_just_enough_is_enough(hard, used):
    """The probes that are counted now are gone before an install."""
    assert findings(quota(hard, used), POD) == []
    assert len(findings(quota(hard, used))) == 1


def test_what_a_limit_range_gives_is_not_lacking():
    """A quota for a limit that ours do without, in a namespace where every container gets one."""
    asked = quota({"limits.cpu": "4"}, {})
    assert len(findings(asked)) == 1
    assert findings(asked, RANGE) == []
