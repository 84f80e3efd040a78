"""What dashboards are made of: rows of panels, each with a title, a unit and how to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from af_otel_semconv import attributes
from af_otel_semconv import spans as names
from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    tempo,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

from af_otel.grafana.place import PROMETHEUS, TAG, TEMPO
from af_otel.grafana.sources import titled
from af_otel.grafana.variables import facilities, sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from af_otel.grafana.place import Place
    from af_otel.grafana.variables import Variable

Panel: TypeAlias = timeseries.Panel | stat.Panel | bargauge.Panel | heatmap.Panel | table.Panel
GOOD, DOUBTFUL, BAD = "green", "orange", "red"
# What is known of a span at its end only.
_KNOWN_AT_END = {
    names.SPAWN_SERVER: attributes.SPAWN_OUTCOME,
    names.START_KERNEL: attributes.KERNEL_ID,
    names.RUN_CELL: attributes.CELL_STATUS,
    names.COMPUTE_GRAPH: attributes.GRAPH_OUTCOME,
}
FULL, HALF, THIRD, QUARTER, SIXTH = 24, 12, 8, 6, 4


def board(
    place: Place,
    name: str,
    title: str,
    about: str,
    rows: Mapping[str, Sequence[Panel]],
    variables: Sequence[Variable] = (),
) -> dashboard.Dashboard:
    """A dashboard; `rows` are panels below a heading each."""
    tags = [TAG, place.facility] if place.facility else [TAG]
    others = dashboard.DashboardLink("Dashboards").type(model.DashboardLinkType.DASHBOARDS)
    made = (
        dashboard.Dashboard(titled(title, place.facility))
        .uid(place.uid(name))
        .description(about)
        .tags(tags)
        .timezone("browser")
        .refresh("30s")
        .time("now-1h", "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(others.tags(tags).as_dropdown(True).include_vars(True).keep_time(True))
    )
    for variable in (*sources(place), facilities(), *variables):
        made.with_variable(variable)
    for heading, panels in rows.items():
        made.with_row(dashboard.Row(heading))
        for panel in panels:
            made.with_panel(panel)
    return made


def lines(
    title: str,
    about: str,
    unit: str,
    queries: Mapping[str, str],
    *,
    limits: tuple[float, float] | None = None,
    stacked: bool = False,
    signed: bool = False,
    exemplars: bool = False,
    width: int = HALF,
) -> Panel:
    """What changes over time; `queries` by their legend, `limits` where doubt and alarm begin.

    Of what is `signed`, what is below 0 is shown, too; histograms' `exemplars` always are.
    """
    panel = timeseries.Panel().fill_opacity(8).show_points(common_model.VisibilityMode.AUTO)
    if not signed:
        panel.min(0)
    panel.tooltip(
        common.VizTooltipOptions()
        .mode(common_model.TooltipDisplayMode.MULTI)
        .sort(common_model.SortOrder.DESCENDING)
    )
    panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_model.LegendDisplayMode.LIST)
        .placement(common_model.LegendPlacement.BOTTOM)
        .calcs([])
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL))
        panel.fill_opacity(30)
    if limits:
        panel.thresholds(_thresholds(limits)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_model.GraphThresholdsStyleMode.DASHED)
        )
    for number, (legend, expr) in enumerate(queries.items()):
        panel.with_target(
            _query(expr, legend, number).range().exemplar(exemplars or "_bucket" in expr)
        )
    return _told(panel, title, about, unit, PROMETHEUS, width)


def number(
    title: str,
    about: str,
    unit: str,
    expr: str,
    *,
    limits: tuple[float, float] | None = None,
    link: dashboard.DashboardLink | None = None,
    width: int = SIXTH,
) -> Panel:
    """One number of now. `limits` that fall say that less is worse."""
    panel = stat.Panel().graph_mode(common_model.BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.thresholds(_thresholds(limits))
    panel.with_target(_query(expr, "", 0).instant())
    if link:
        panel.links([link])
    return _told(panel, title, about, unit, PROMETHEUS, width, height=4)


def bars(
    title: str,
    about: str,
    unit: str,
    queries: Mapping[str, str],
    *,
    limits: tuple[float, float] | None = None,
    most: float | None = None,
    width: int = HALF,
) -> Panel:
    """Numbers of now to compare with each other."""
    panel = bargauge.Panel().orientation(common_model.VizOrientation.HORIZONTAL).min(0)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.thresholds(_thresholds(limits))
    if most is not None:
        panel.max(most)
    for place, (legend, expr) in enumerate(queries.items()):
        panel.with_target(_query(expr, legend, place).instant())
    return _told(panel, title, about, unit, PROMETHEUS, width)


def heat(title: str, about: str, unit: str, expr: str, *, width: int = HALF) -> Panel:
    """A histogram over time; `expr` gives its buckets, by `le`."""
    panel = heatmap.Panel().calculate(False)
    panel.color(
        heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(32)
    )
    panel.y_axis(heatmap.YAxisConfig().unit(unit))
    panel.with_target(
        _query(expr, "{{le}}", 0).range().exemplar(True).format(PromQueryFormat.HEATMAP)
    )
    return _told(panel, title, about, unit, PROMETHEUS, width)


def ended(name: str) -> str:
    """TraceQL for spans of a name without the markers that each left while it was open."""
    return f'name = "{name}" && (span.{_KNOWN_AT_END[name]} != nil || status = error)'


def spans(
    title: str,
    about: str,
    traceql: str,
    *columns: str,
    session: str | None = None,
    width: int = HALF,
) -> Panel:
    """The newest of Tempo's spans that fit `traceql`, with attributes as columns.

    `session` is where a click on a session's id leads to.
    """
    selected = ", ".join(f"span.{column}" for column in columns)
    # Or Tempo gives what it finds first, which is no order.
    newest = f"{traceql} | select({selected}) with (most_recent=true)"
    panel = table.Panel().cell_height(common_model.TableCellHeight.SM)
    panel.with_target(
        tempo.TempoQuery()
        .ref_id("A")
        .datasource(TEMPO)
        .query_type("traceql")
        .query(newest)
        .table_type(SearchTableType.SPANS)
        .limit(50)
        .spss(20)
    )
    if session:
        links = [{"title": "This session", "url": session}]
        panel.override_by_name(
            attributes.SESSION_ID, [model.DynamicConfigValue(id_val="links", value=links)]
        )
    return _told(panel, title, about, "none", TEMPO, width)


def rows(
    title: str, about: str, unit: str, queries: Mapping[str, str], *, width: int = HALF
) -> Panel:
    """A table of Prometheus' series of now, a column for each query."""
    panel = table.Panel().cell_height(common_model.TableCellHeight.SM)
    for place, (legend, expr) in enumerate(queries.items()):
        panel.with_target(_query(expr, legend, place).instant().format(PromQueryFormat.TABLE))
    hidden = {"excludeByName": {"Time": True}}
    if len(queries) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=hidden))
    return _told(panel, title, about, unit, PROMETHEUS, width)


def _query(expr: str, legend: str, number: int) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(expr).ref_id(chr(ord("A") + number)).datasource(PROMETHEUS)
    return query.legend_format(legend) if legend else query


def _thresholds(limits: tuple[float, float] | None) -> dashboard.ThresholdsConfig:
    steps: list[tuple[float | None, str]] = [(None, GOOD)]
    if limits and limits[0] <= limits[1]:
        steps += [(limits[0], DOUBTFUL), (limits[1], BAD)]
    elif limits:
        steps = [(None, BAD), (limits[1], DOUBTFUL), (limits[0], GOOD)]
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value, color) for value, color in steps])
    )


def _told(
    panel: Any,
    title: str,
    about: str,
    unit: str,
    source: model.DataSourceRef,
    width: int,
    height: int = 8,
) -> Any:
    return (
        panel.title(title)
        .description(about)
        .unit(unit)
        .datasource(source)
        .span(width)
        .height(height)
    )
