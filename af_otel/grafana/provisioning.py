"""The files and settings of a Grafana that is ours alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from af_otel.grafana import dashboards
from af_otel.grafana.sources import sources

if TYPE_CHECKING:
    from collections.abc import Mapping

# No word to the outside. What Grafana fetches in the background stays: newer ones have their data
# sources from there.
QUIET = {
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_NEWS_NEWS_FEED_ENABLED": "false",
}
HOME = f"dashboards/{dashboards.HOME}.json"


def provisioned(directory: str, urls: Mapping[str, str]) -> dict[str, str]:
    """Return by path what is in `directory` then; Grafana reads YAML, of which JSON is a part."""
    provider = {
        "name": "af-otel",
        "folder": dashboards.FOLDER,
        "type": "file",
        "allowUiUpdates": True,
        "options": {"path": f"{directory}/dashboards"},
    }
    contents = {
        "provisioning/datasources/af-otel.yaml": {"apiVersion": 1, "datasources": sources(urls)},
        "provisioning/dashboards/af-otel.yaml": {"apiVersion": 1, "providers": [provider]},
    }
    if dashboards.POSSIBLE:
        made = dashboards.dashboards(choose=not urls.keys() >= {"prometheus", "tempo"})
        contents |= {f"dashboards/{name}.json": board for name, board in made.items()}
    return {name: json.dumps(content, indent=1) + "\n" for name, content in contents.items()}


def settings(directory: str) -> dict[str, str]:
    """The variables by which Grafana finds what is in `directory`."""
    found = {
        "GF_PATHS_PROVISIONING": f"{directory}/provisioning",
        **QUIET,
    }
    if dashboards.POSSIBLE:
        found["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] = f"{directory}/{HOME}"
    return found
