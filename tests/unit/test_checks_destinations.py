"""What `validate` says of the addresses in facility.yaml, without asking them."""

from __future__ import annotations

import pytest
import yaml

from af_otel.checks import offline, run
from af_otel.facility import Facility
from tests.rendered import TEMPO, a_facility, with_backends

CHECK = ["destinations-can-be-queried"]


def findings(tmp_path, facility=None):
    """What the check says of a facility, as `validate --offline` runs it."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({"hub": {}, "singleuser": {}}))
    return run.run(offline.context([file], facility), run.chosen(CHECK)).findings


def sent_to(traces):
    """A facility that sends its traces there."""
    metrics = {"scrape": "annotations"}
    return a_facility(destinations={"traces": traces, "metrics": metrics})


@pytest.mark.parametrize("kind", ["otlp", "jaeger", "tempo"])
def test_a_store_that_cannot_be_queried_is_a_warning(tmp_path, kind):
    """Traces flow, but `trace` and `verify` have nowhere to look; the YAML to add is shown."""
    traces = {kind: {"endpoint": "http://store:4318"}}
    [finding] = findings(tmp_path, sent_to(traces))
    assert finding.severity == "warns"
    assert finding.what == f"`destinations.traces.{kind}` has no `query`"
    assert "`trace` and `verify` cannot look traces up" in finding.why
    traces[kind] |= yaml.safe_load(finding.mend)["destinations"]["traces"][kind]
    assert not findings(tmp_path, sent_to(traces))


def test_a_store_that_can_be_queried_is_well(tmp_path):
    """Also a backend of ours, and where no file describes the facility."""
    assert not findings(tmp_path, sent_to(TEMPO))
    assert not findings(tmp_path, with_backends())
    assert not findings(tmp_path)


def test_the_layout_of_earlier_versions_is_answered_with_the_new_one(tmp_path):
    """There `traces` itself had the fields of the Tempo."""
    written = sent_to(TEMPO).model_dump(mode="json", exclude_defaults=True)
    written["destinations"]["traces"] = {"endpoint": "http://tempo:4318"}
    [finding] = findings(tmp_path, Facility.model_validate(written))
    assert finding.what == "`destinations.traces.tempo` has no `query`"
