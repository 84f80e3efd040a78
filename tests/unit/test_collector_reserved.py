"""The names of metrics that senders must not use, held against those that we send and query."""

from __future__ import annotations

import re

import pytest
import yaml
from af_otel_semconv import metrics

from af_otel.collector import config
from af_otel.grafana import names
from af_otel.metrics._names import PREFIX

ALL = [item for item in vars(metrics).values() if isinstance(item, metrics.Instrument)]
HUBS = {metrics.SPAWN_DURATION, metrics.SERVER_ACTIVE, metrics.SESSION_DURATION}
# Scraped from users' pods as well, or sent by them: these are their owner's.
USERS = ("dask_", "process_", "kernel_", "terminal_", "jupyter_")


def reserved(hub):
    """Return the patterns of names that are refused, from the hub's pod or from others."""
    found = []
    for text in config.plain().values():
        for processor in yaml.safe_load(text)["processors"].values():
            groups = processor.get("metric_statements", ()) if isinstance(processor, dict) else ()
            for group in groups:
                for statement in group["statements"] if isinstance(group, dict) else ():
                    if '"reserved"' not in statement or (hub and '"af_otel.hub"' in statement):
                        continue
                    found.append(re.search(r'IsMatch\(metric\.name, "(.*)"\)', statement)[1])
    assert len(found) == (2 if hub else 3)
    return found


def is_reserved(name, *, hub=False):
    return any(re.search(pattern, name) for pattern in reserved(hub))


@pytest.mark.parametrize("name", [item.name for item in ALL] + [f"{PREFIX}up"])
def test_our_own_metrics_are_not_refused(name):
    """What our instrumentations send passes: the hub's from the hub, the rest from any pod."""
    assert not is_reserved(name, hub=True)
    assert is_reserved(name) == (name in {item.name for item in HUBS})


@pytest.mark.parametrize(
    "name",
    [name for name in names.NATIVE if not name.startswith(USERS)]
    + ["traces_span_metrics_calls_total", "af_otel_refused_spans_total", "ALERTS_FOR_STATE"],
)
def test_what_the_facility_writes_is_refused(name):
    """In every spelling that has the same name in Prometheus."""
    for spelt in (name, name.replace("_", "."), name.replace("_", "--"), f"_{name}_"):
        assert is_reserved(spelt), spelt


@pytest.mark.parametrize("name", ["uptime", "scraper.runs", "podcasts", "trace.size", "afterglow"])
def test_other_names_pass(name):
    """A name that merely begins alike is nobody's."""
    assert not is_reserved(name)
