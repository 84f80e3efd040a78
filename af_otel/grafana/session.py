"""The session dashboard: sessions, and one session's traces side by side, over the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from af_otel_semconv import attributes, metrics, spans

from af_otel.grafana.sources import titled, uid

UNITS = {"s": "_seconds", "By": "_bytes"}  # Prometheus appends the unit, but not one in braces.


@dataclass(frozen=True)
class _Panels:
    """Makes panels that ask these data sources."""

    prometheus: dict[str, str]
    tempo: dict[str, str]

    def traces(self, title: str, traceql: str) -> dict[str, Any]:
        columns = f" | select(span.{attributes.SESSION_ID}, span.{attributes.USER_HASH})"
        target = {
            "refId": "A",
            "datasource": self.tempo,
            "queryType": "traceql",
            "query": traceql + columns,
            "tableType": "spans",
            "limit": 50,
        }
        return {"type": "table", "title": title, "datasource": self.tempo, "targets": [target]}

    def quantiles(self, what: str, instrument: metrics.Instrument) -> dict[str, Any]:
        rate = f"sum by (le) (rate({prometheus_name(instrument)}_bucket[5m]))"
        queries = {
            label: f"histogram_quantile({q}, {rate})"
            for label, q in (("half", 0.5), ("95 %", 0.95))
        }
        meaning = instrument.description[0].lower() + instrument.description[1:]
        return self.series(f"{what}: {meaning}", "s", **queries)

    def series(self, title: str, unit: str, **queries: str) -> dict[str, Any]:
        targets = [
            {
                "refId": chr(ord("A") + number),
                "datasource": self.prometheus,
                "expr": query,
                "legendFormat": label,
                "exemplar": True,
            }
            for number, (label, query) in enumerate(queries.items())
        ]
        return {
            "type": "timeseries",
            "title": title,
            "datasource": self.prometheus,
            "targets": targets,
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        }


def session_dashboard(facility: str = "", *, choose: bool = False) -> dict[str, Any]:
    """Return the dashboard.

    Parameters
    ----------
    facility
        As it was given to `sources`.
    choose
        The data sources are not ours: the dashboard lets its reader choose among those there are.
    """
    sources = {
        kind: {"type": kind, "uid": f"${{{kind}}}" if choose else uid(kind, facility)}
        for kind in ("prometheus", "tempo")
    }
    make = _Panels(**sources)
    session = '{ span.%s =~ "$session" && %s }'
    roots = (
        f'(name = "{spans.SPAWN_SERVER}" || name = "{spans.START_KERNEL}"'
        f' || name = "{spans.EXECUTE_CELL}" || name = "{spans.COMPUTE_GRAPH}")'
    )
    panels = [
        make.traces("Sessions: servers spawned", f'{{ name = "{spans.SPAWN_SERVER}" }}'),
        make.traces("This session: what its user did", session % (attributes.SESSION_ID, roots)),
        make.traces(
            "This session: what failed", session % (attributes.SESSION_ID, "status = error")
        ),
        make.series(
            "Servers and kernels running",
            "",
            servers=f"sum({prometheus_name(metrics.SERVER_ACTIVE)})",
            kernels=f"sum({prometheus_name(metrics.KERNEL_ACTIVE)})",
            workers=f"sum({prometheus_name(metrics.WORKER_COUNT)})",
        ),
        make.quantiles("Spawn", metrics.SPAWN_DURATION),
        make.quantiles("Cell", metrics.CELL_DURATION),
        make.quantiles("Dask task", metrics.TASK_DURATION),
        make.series(
            "Dask tasks per second, by prefix",
            "",
            **{
                "{{dask_task_prefix}}": "sum by (dask_task_prefix) "
                f"(rate({prometheus_name(metrics.TASK_DURATION)}_count[1m]))"
            },
        ),
    ]
    for number, panel in enumerate(panels):
        panel["id"] = number + 1
        panel["gridPos"] = {"x": number % 2 * 12, "y": number // 2 * 8, "w": 12, "h": 8}
    chosen = [
        {"name": kind, "label": kind.capitalize(), "type": "datasource", "query": kind}
        for kind in sources
        if choose
    ]
    return {
        "uid": uid("af-otel-session", facility),
        "title": titled("Sessions", facility),
        "tags": ["af-otel"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                *chosen,
                {
                    "name": "session",
                    "label": attributes.SESSION_ID,
                    "type": "textbox",
                    "query": ".+",
                    "current": {"text": ".+", "value": ".+"},
                },
            ]
        },
        "panels": panels,
    }


def prometheus_name(instrument: metrics.Instrument) -> str:
    """What Prometheus calls an instrument, without a histogram's or counter's ending."""
    return instrument.name.replace(".", "_") + UNITS.get(instrument.unit, "")
