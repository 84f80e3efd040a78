"""Prometheus and Tempo as data sources, each with its way to the other."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# Grafana's own limits.
UID_LENGTH = 40
UID = re.compile(rf"[a-zA-Z0-9_-]{{1,{UID_LENGTH}}}")


def uid(what: str, facility: str = "") -> str:
    """The name of a data source or dashboard in links: apart for each facility of a Grafana."""
    name = f"{what}-{facility}" if facility else what
    if UID.fullmatch(name):
        return name
    plain = re.sub(r"[^a-zA-Z0-9_-]", "-", name)
    return f"{plain[: UID_LENGTH - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def titled(title: str, facility: str = "") -> str:
    """A title that is one facility's own, for Grafana refuses two of the same."""
    return f"{title} ({facility})" if facility else title


def sources(urls: Mapping[str, str], facility: str = "") -> list[dict[str, Any]]:
    """Return those of `prometheus` and `tempo` that have a URL.

    Parameters
    ----------
    urls
        Where each is asked.
    facility
        Names the sources in a Grafana that has others. There none of ours is the default: with two
        defaults Grafana does not start.
    """
    made = []
    if "prometheus" in urls:
        made.append(_source("prometheus", "Prometheus", urls, facility, default=not facility))
    if "tempo" in urls:
        made.append(_source("tempo", "Tempo", urls, facility))
    if len(made) > 1:
        prometheus, tempo = made
        prometheus["jsonData"] = _to_traces(tempo["uid"])
        tempo["jsonData"] |= _to_metrics(prometheus["uid"])
    return made


def _source(
    kind: str, title: str, urls: Mapping[str, str], facility: str, *, default: bool = False
) -> dict[str, Any]:
    return {
        "name": titled(title, facility),
        "type": kind,
        "uid": uid(kind, facility),
        "access": "proxy",
        "url": urls[kind],
        "isDefault": default,
        "jsonData": {"nodeGraph": {"enabled": True}} if kind == "tempo" else {},
    }


def _to_traces(tempo: str) -> dict[str, Any]:
    return {"exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": tempo}]}


def _to_metrics(prometheus: str) -> dict[str, Any]:
    rate = "sum by (span_name) (rate(traces_span_metrics_calls_total{$__tags}[1m]))"
    return {
        "serviceMap": {"datasourceUid": prometheus},
        "tracesToMetrics": {
            "datasourceUid": prometheus,
            "spanStartTimeShift": "-5m",
            "spanEndTimeShift": "5m",
            "tags": [
                {"key": f"service.{part}", "value": f"service_{part}"}
                for part in ("name", "namespace")
            ],
            "queries": [{"name": "Such spans per second", "query": rate}],
        },
    }
