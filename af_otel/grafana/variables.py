"""What a dashboard's reader chooses: sources, a facility, and what else a dashboard is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from af_otel.grafana.place import PROMETHEUS
from af_otel.grafana.sources import titled, uid

if TYPE_CHECKING:
    from af_otel.grafana.place import Place

Variable: TypeAlias = (
    dashboard.QueryVariable | dashboard.TextBoxVariable | dashboard.DatasourceVariable
)


def facilities() -> Variable:
    """Which facilities: those that have spans in this Prometheus."""
    return choice(
        "facility",
        "Facility",
        "traces_span_metrics_calls_total",
        "service_namespace",
        "`service.namespace` of what is shown",
        everything=".+",
    )


def choice(
    name: str, label: str, metric: str, of: str, about: str, *, everything: str = ".*"
) -> Variable:
    """A variable with the values of a label; all of them unless the reader chooses."""
    query = f"label_values({metric}, {of})"
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(about)
        .datasource(PROMETHEUS)
        .query({"query": query, "refId": name})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(everything)
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def text(name: str, label: str, value: str, about: str) -> Variable:
    """A variable that the reader writes."""
    return dashboard.TextBoxVariable(name).label(label).description(about).default_value(value)


def sources(place: Place) -> list[Variable]:
    """Prometheus and Tempo: ours at first, where there are ours."""
    made: list[Variable] = []
    for kind in ("prometheus", "tempo"):
        variable = dashboard.DatasourceVariable(kind).label(kind.capitalize()).type(kind)
        if not place.choose:
            ours = titled(kind.capitalize(), place.facility)
            variable.current(model.VariableOption(True, ours, uid(kind, place.facility)))
        made.append(variable)
    return made
