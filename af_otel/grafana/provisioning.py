"""Files and settings of a Grafana that shows nothing but our dashboards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from af_otel.grafana import dashboards
from af_otel.grafana.sources import complete, sources, trace_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from af_otel.grafana.sources import TraceStore

# No calls home. The background installer of plugins stays on: newer releases of Grafana get their
# data sources from it.
QUIET = {
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_NEWS_NEWS_FEED_ENABLED": "false",
}
HOME = f"dashboards/{dashboards.HOME}.json"


def provisioned(
    directory: str,
    urls: Mapping[str, str],
    traces: TraceStore | None = None,
    tls: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the files for `directory` by path, as JSON: Grafana reads YAML, which includes it.

    Parameters
    ----------
    urls, tls
        As passed to `sources`.
    traces
        The trace store that panels search; by default the one in `urls`.
    """
    store = traces or trace_store(urls)
    provider = {
        "name": "af-otel",
        "folder": dashboards.FOLDER,
        "type": "file",
        "allowUiUpdates": True,
        "options": {"path": f"{directory}/dashboards"},
    }
    contents = {
        "provisioning/datasources/af-otel.yaml": {
            "apiVersion": 1,
            "datasources": sources(urls, tls=tls),
        },
        "provisioning/dashboards/af-otel.yaml": {"apiVersion": 1, "providers": [provider]},
    }
    if dashboards.POSSIBLE:
        boards = dashboards.dashboards(choose=not complete(urls, store), traces=store)
        contents |= {f"dashboards/{name}.json": board for name, board in boards.items()}
    return {name: json.dumps(content, indent=1) + "\n" for name, content in contents.items()}


def settings(directory: str) -> dict[str, str]:
    """Return the environment variables that point Grafana to the files in `directory`."""
    found = {
        "GF_PATHS_PROVISIONING": f"{directory}/provisioning",
        **QUIET,
    }
    if dashboards.POSSIBLE:
        found["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] = f"{directory}/{HOME}"
    return found
