"""The variables of a dashboard: data sources, facilities, and what else its reader chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from af_otel_semconv import services
from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from af_otel.grafana.jaeger import SCHEDULER, SERVICE
from af_otel.grafana.place import PROMETHEUS
from af_otel.grafana.sources import TITLES, titled, uid

if TYPE_CHECKING:
    from af_otel.grafana.place import Place

Variable: TypeAlias = (
    dashboard.QueryVariable
    | dashboard.TextBoxVariable
    | dashboard.DatasourceVariable
    | dashboard.CustomVariable
)
# In order of what fails most often.
_SERVICES = (
    services.JUPYTER_SERVER,
    services.JUPYTERHUB,
    services.JUPYTER_KERNEL,
    services.DASK_SCHEDULER,
    services.DASK_WORKER,
)
# Whose processes run Dask schedulers; a kernel's and a script's are those of a LocalCluster.
_SCHEDULERS = (services.DASK_SCHEDULER, services.JUPYTER_KERNEL, services.DASK_CLIENT)


def facilities(place: Place) -> Variable:
    """Return the variable for the facilities that have spans in this Prometheus.

    With Jaeger one facility is chosen at a time, as Jaeger compares tags for equality.
    """
    variable = _labels(
        "facility",
        "Facility",
        "traces_span_metrics_calls_total",
        "service_namespace",
        "`service.namespace` of what is shown",
    )
    if place.traces != "jaeger":
        return _several(variable, ".+")
    if place.facility:
        variable.current(model.VariableOption(True, place.facility, place.facility))
    return variable


def choice(
    name: str, label: str, metric: str, of: str, about: str, *, everything: str = ".*"
) -> Variable:
    """Return a variable for the values of a label; all of them unless the reader chooses."""
    return _several(_labels(name, label, metric, of, about), everything)


def text(name: str, label: str, value: str, about: str) -> Variable:
    """Return a variable for text that the reader enters."""
    return dashboard.TextBoxVariable(name).label(label).description(about).default_value(value)


def sources(place: Place) -> list[Variable]:
    """Return the variables for the data sources; by default ours, where they are."""
    variables: list[Variable] = []
    for kind in place.sources:
        variable = dashboard.DatasourceVariable(kind).label(TITLES[kind]).type(kind)
        if not place.choose:
            ours = titled(TITLES[kind], place.facility)
            variable.current(model.VariableOption(True, ours, uid(kind, place.facility)))
        variables.append(variable)
    return variables


def slower(place: Place, value: str, what: str) -> list[Variable]:
    """Return the variable for the shortest duration in tables of slow spans, if there are any."""
    if place.traces is None:
        return []
    return [text("slower", "Slower than", value, f"The table lists {what} that took longer")]


def service(place: Place) -> list[Variable]:
    """Return the variable for the service to search, if the trace store requires one."""
    if place.traces != "jaeger":
        return []
    return [_one_of(SERVICE, "Service", _SERVICES, "The service whose failures are listed")]


def scheduler(place: Place) -> list[Variable]:
    """Return the variable for the service of Dask schedulers, if the trace store requires one."""
    if place.traces != "jaeger":
        return []
    about = "The service that computations are listed of; a LocalCluster's are its kernel's"
    return [_one_of(SCHEDULER, "Scheduler", _SCHEDULERS, about)]


def _labels(name: str, label: str, metric: str, of: str, about: str) -> dashboard.QueryVariable:
    query = f"label_values({metric}, {of})"
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(about)
        .datasource(PROMETHEUS)
        .query({"query": query, "refId": name})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _several(variable: dashboard.QueryVariable, everything: str) -> Variable:
    everything_chosen = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable.multi(True).include_all(True).all_value(everything).current(everything_chosen)


def _one_of(name: str, label: str, values: tuple[str, ...], about: str) -> Variable:
    return (
        dashboard.CustomVariable(name)
        .label(label)
        .description(about)
        .values(",".join(values))
        .current(model.VariableOption(True, values[0], values[0]))
    )
