"""JupyterHub answers `/hub/metrics` only to who may read them, and says 403 to a Prometheus or a
Collector that nobody gave a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.checks import _look
from af_otel.checks._registry import check
from af_otel.checks.finding import Finding, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks._sources import Chart
    from af_otel.checks.context import Context

SERVICE = "af-otel"
_OK, _FORBIDDEN, _NOT_FOUND = 200, 403, 404
_CONFIG = f"""# add to jupyterhub_config.py; the token belongs into a Secret as well
c.JupyterHub.services.append({{"name": "{SERVICE}", "api_token": os.environ["AF_OTEL_HUB_TOKEN"]}})
c.JupyterHub.load_roles.append(
    {{"name": "{SERVICE}", "services": ["{SERVICE}"], "scopes": ["read:metrics"]}}
)
# or let everybody read them who reaches the hub
c.JupyterHub.authenticate_prometheus = False"""


@check("Hub and Dask", "May the hub's metrics be read?", source="files")
def hub_metrics_are_readable(context: Context) -> Iterator[Finding | Unchecked]:
    """Asked of the hub from within its pod; in files, read off its configuration."""
    scrape = context.facility.scrape
    if not scrape.hub or scrape.hub_token:
        return
    if context.cluster is None:
        yield from _by_reading(context)
        return
    hubs = [view for view in _look.views(context) if view.template.place.role == "hub"]
    for view in hubs:
        if view.problem is not None:
            yield Unchecked(
                f"the hub: {view.problem.what} ({view.problem.where})", view.problem.hint
            )
            continue
        said = (view.found or {}).get("metrics")
        url = f"`{context.facility.hub.base_url}hub/metrics`"
        if said == _FORBIDDEN:
            yield _refused(context, f"{url} answered 403 inside the hub's pod")
        elif said == _NOT_FOUND:
            yield Finding(
                "warns",
                "The hub has no metrics where they are expected",
                f"{url} answered 404 inside the hub's pod",
                "Its own metrics would be missing; traces are not affected",
                "# in facility.yaml, what `c.JupyterHub.base_url` is\nhub: {base_url: /}",
            )
        elif said != _OK:
            yield Unchecked(f"the hub did not answer on port 8081 of its pod: {said}")
    if not hubs:
        yield Unchecked("no pod of the hub is there")


def _by_reading(context: Context) -> Iterator[Finding]:
    context.configured("jupyterhub")
    for chart in context.charts:
        if chart.name != "jupyterhub":
            continue
        open_ = chart.value("hub.authenticatePrometheus")
        open_ = chart.value("hub.config.JupyterHub.authenticate_prometheus", open_)
        roles = chart.value("hub.loadRoles", {})
        granted = isinstance(roles, dict) and any(
            "read:metrics" in (role.get("scopes") or ())
            for role in roles.values()
            if isinstance(role, dict)
        )
        in_code = any(
            setting.name == "JupyterHub.authenticate_prometheus" and setting.value is False
            for setting in context.settings
        )
        if open_ is not False and not in_code and not granted:
            yield _refused(context, f"{chart.at('hub.loadRoles')} grants nobody `read:metrics`")


def _refused(context: Context, where: str) -> Finding:
    charts = [chart for chart in context.charts if chart.name == "jupyterhub"]
    return Finding(
        "warns",
        "The hub's metrics are for those with a token, and the Collector has none",
        where,
        "Its own metrics (users, requests, spawns) would be missing; traces are not affected",
        _values(charts[0], context) if charts else _CONFIG,
    )


def _values(chart: Chart, context: Context) -> str:
    role = {"services": [SERVICE], "scopes": ["read:metrics"]}
    values = {"hub": {"services": {SERVICE: {}}, "loadRoles": {SERVICE: role}}}
    namespace, hub = context.facility.namespace, context.facility.hub.namespace
    key = f"hub.services.{SERVICE}.apiToken"
    escaped = key.replace(".", "\\.")
    return (
        f"{chart.yaml(values)}\n"
        "# then copy the token that the chart makes\n"
        f"kubectl -n {hub} get secret hub -o jsonpath='{{.data.{escaped}}}' | base64 -d |\n"
        # On a command line it could be read by whoever else is on that machine.
        f"  kubectl -n {namespace} create secret generic hub-metrics --from-file=token=/dev/stdin\n"
        "# and name it in facility.yaml\n"
        "scrape: {hub_token: {secret: hub-metrics, key: token}}\n"
        "# or let everybody read them who reaches the hub\n"
        f"{chart.yaml({'hub': {'authenticatePrometheus': False}})}"
    )
