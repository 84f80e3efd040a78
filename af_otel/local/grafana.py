"""Grafana, where this machine has one: data sources and the session dashboard, provisioned."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from af_otel_semconv import attributes, metrics, spans

from af_otel.local import servers
from af_otel.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
TEMPO = {"type": "tempo", "uid": "tempo"}
UNITS = {"s": "_seconds", "By": "_bytes"}  # Prometheus appends the unit, but not one in braces.


@dataclass(frozen=True)
class Grafana:
    """A Grafana to start: its binary, and the home with its own files."""

    binary: Path
    home: Path

    def command(self, directory: Path, urls: Mapping[str, str]) -> tuple[str, ...]:
        """The command, once `directory` holds what it is to show."""
        provision(directory, urls)
        server = ("server",) if self.binary.name == "grafana" else ()
        return (str(self.binary), *server, "--homepath", str(self.home))

    def env(self, directory: Path, port: int) -> dict[str, str]:
        """Its settings: no login, for only this machine reaches it, and no word to the outside."""
        return {
            "GF_PATHS_DATA": str(directory / "data"),
            "GF_PATHS_LOGS": str(directory / "logs"),
            "GF_PATHS_PROVISIONING": str(directory / "provisioning"),
            "GF_SERVER_HTTP_ADDR": HOST,
            "GF_SERVER_HTTP_PORT": str(port),
            "GF_AUTH_ANONYMOUS_ENABLED": "true",
            "GF_AUTH_ANONYMOUS_ORG_ROLE": "Editor",
            "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(directory / "dashboards/session.json"),
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
            "GF_NEWS_NEWS_FEED_ENABLED": "false",
        }


def find() -> Grafana | None:
    """The Grafana of this machine, if it has one; a setting that names none is an error."""
    try:
        binary = servers.find("grafana").path.resolve()
    except servers.ServerNotFound:
        return None
    # The archive has `bin/` in its home; a Linux package has them apart.
    homes = (binary.parents[1], Path("/usr/share/grafana"))
    home = next((home for home in homes if (home / "conf" / "defaults.ini").is_file()), None)
    return Grafana(binary, home) if home is not None else None


def provision(directory: Path, urls: Mapping[str, str]) -> None:
    """Write Grafana's provisioning; it reads YAML, of which JSON is a part."""
    provider = {
        "name": "af-otel",
        "type": "file",
        "allowUiUpdates": True,
        "options": {"path": str(directory / "dashboards")},
    }
    contents = {
        "provisioning/datasources/af-otel.yaml": {"apiVersion": 1, "datasources": sources(urls)},
        "provisioning/dashboards/af-otel.yaml": {"apiVersion": 1, "providers": [provider]},
        "dashboards/session.json": session_dashboard(),
    }
    for name, content in contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def sources(urls: Mapping[str, str]) -> list[dict[str, Any]]:
    """Prometheus and Tempo, each with its way to the other."""
    return [
        {
            "name": "Prometheus",
            **PROMETHEUS,
            "access": "proxy",
            "url": urls["prometheus"],
            "isDefault": True,
            "jsonData": {
                "exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": "tempo"}]
            },
        },
        {
            "name": "Tempo",
            **TEMPO,
            "access": "proxy",
            "url": urls["tempo"],
            "jsonData": {
                "nodeGraph": {"enabled": True},
                "tracesToMetrics": {
                    "datasourceUid": "prometheus",
                    "spanStartTimeShift": "-5m",
                    "spanEndTimeShift": "5m",
                    "tags": [{"key": "service.name", "value": "service_name"}],
                    "queries": [
                        {
                            "name": "Such spans per second",
                            "query": "sum by (span_name) "
                            "(rate(traces_span_metrics_calls_total{$__tags}[1m]))",
                        }
                    ],
                },
            },
        },
    ]


def session_dashboard() -> dict[str, Any]:
    """Sessions, and one session's traces side by side, over the facility's metrics."""
    session = '{ span.%s =~ "$session" && %s }'
    roots = (
        f'(name = "{spans.SPAWN_SERVER}" || name = "{spans.START_KERNEL}"'
        f' || name = "{spans.EXECUTE_CELL}" || name = "{spans.COMPUTE_GRAPH}")'
    )
    panels = [
        _traces("Sessions: servers spawned", f'{{ name = "{spans.SPAWN_SERVER}" }}'),
        _traces("This session: what its user did", session % (attributes.SESSION_ID, roots)),
        _traces("This session: what failed", session % (attributes.SESSION_ID, "status = error")),
        _series(
            "Servers and kernels running",
            "",
            servers=f"sum({prometheus_name(metrics.SERVER_ACTIVE)})",
            kernels=f"sum({prometheus_name(metrics.KERNEL_ACTIVE)})",
            workers=f"sum({prometheus_name(metrics.WORKER_COUNT)})",
        ),
        _quantiles("Spawn", metrics.SPAWN_DURATION),
        _quantiles("Cell", metrics.CELL_DURATION),
        _quantiles("Dask task", metrics.TASK_DURATION),
        _series(
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
    return {
        "uid": "af-otel-session",
        "title": "Sessions",
        "tags": ["af-otel"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "session",
                    "label": attributes.SESSION_ID,
                    "type": "textbox",
                    "query": ".+",
                    "current": {"text": ".+", "value": ".+"},
                }
            ]
        },
        "panels": panels,
    }


def prometheus_name(instrument: metrics.Instrument) -> str:
    """What Prometheus calls an instrument, without a histogram's or counter's ending."""
    return instrument.name.replace(".", "_") + UNITS.get(instrument.unit, "")


def _traces(title: str, traceql: str) -> dict[str, Any]:
    columns = f" | select(span.{attributes.SESSION_ID}, span.{attributes.USER_HASH})"
    target = {
        "refId": "A",
        "datasource": TEMPO,
        "queryType": "traceql",
        "query": traceql + columns,
        "tableType": "spans",
        "limit": 50,
    }
    return {"type": "table", "title": title, "datasource": TEMPO, "targets": [target]}


def _quantiles(what: str, instrument: metrics.Instrument) -> dict[str, Any]:
    rate = f"sum by (le) (rate({prometheus_name(instrument)}_bucket[5m]))"
    queries = {
        label: f"histogram_quantile({q}, {rate})" for label, q in (("half", 0.5), ("95 %", 0.95))
    }
    meaning = instrument.description[0].lower() + instrument.description[1:]
    return _series(f"{what}: {meaning}", "s", **queries)


def _series(title: str, unit: str, **queries: str) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": PROMETHEUS,
            "expr": query,
            "legendFormat": label,
            "exemplar": True,
        }
        for number, (label, query) in enumerate(queries.items())
    ]
    return {
        "type": "timeseries",
        "title": title,
        "datasource": PROMETHEUS,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
    }
