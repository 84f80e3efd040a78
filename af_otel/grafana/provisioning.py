"""The files and settings of a Grafana that is ours alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from af_otel.grafana.session import session_dashboard
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
HOME = "dashboards/session.json"


def provisioned(directory: str, urls: Mapping[str, str]) -> dict[str, str]:
    """Return by path what is in `directory` then; Grafana reads YAML, of which JSON is a part."""
    provider = {
        "name": "af-otel",
        "type": "file",
        "allowUiUpdates": True,
        "options": {"path": f"{directory}/dashboards"},
    }
    contents = {
        "provisioning/datasources/af-otel.yaml": {"apiVersion": 1, "datasources": sources(urls)},
        "provisioning/dashboards/af-otel.yaml": {"apiVersion": 1, "providers": [provider]},
        HOME: session_dashboard(),
    }
    return {name: json.dumps(content, indent=2) + "\n" for name, content in contents.items()}


def settings(directory: str) -> dict[str, str]:
    """The variables by which Grafana finds what is in `directory`."""
    return {
        "GF_PATHS_PROVISIONING": f"{directory}/provisioning",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": f"{directory}/{HOME}",
        **QUIET,
    }
