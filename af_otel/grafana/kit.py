"""Building blocks of dashboards: rows of panels, each with a title, a unit and a description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from af_otel_semconv import attributes
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

from af_otel.grafana import jaeger
from af_otel.grafana.place import PROMETHEUS, TAG
from af_otel.grafana.search import traceql
from af_otel.grafana.sources import titled
from af_otel.grafana.variables import facilities, sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from af_otel.grafana.place import Place
    from af_otel.grafana.search import Spans
    from af_otel.grafana.variables import Variable

Panel: TypeAlias = timeseries.Panel | stat.Panel | bargauge.Panel | heatmap.Panel | table.Panel
GOOD, DOUBTFUL, BAD = "green", "orange", "red"
FULL, HALF, THIRD, QUARTER, SIXTH = 24, 12, 8, 6, 4


def board(
    place: Place,
    name: str,
    title: str,
    about: str,
    rows: Mapping[str, Sequence[Panel | None]],
    variables: Sequence[Variable] = (),
) -> dashboard.Dashboard:
    """Return a dashboard; `rows` are panels by the heading above them.

    Panels that are None are left out, as are headings without panels.
    """
    tags = [TAG, place.facility] if place.facility else [TAG]
    others = dashboard.DashboardLink("Dashboards").type(model.DashboardLinkType.DASHBOARDS)
    result = (
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
    for variable in (*sources(place), facilities(place), *variables):
        result.with_variable(variable)
    for heading, panels in rows.items():
        shown = [panel for panel in panels if panel is not None]
        if shown:
            result.with_row(dashboard.Row(heading))
        for panel in shown:
            result.with_panel(panel)
    return result


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
    """Return a panel with lines over time.

    Parameters
    ----------
    queries
        PromQL by legend.
    limits
        Where doubtful and bad values begin.
    signed
        Values may be negative.
    exemplars
        Show exemplars; those of histograms are always shown.
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
    return _described(panel, title, about, unit, PROMETHEUS, width)


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
    """Return a panel with one current number; with descending `limits`, lower is worse."""
    panel = stat.Panel().graph_mode(common_model.BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.thresholds(_thresholds(limits))
    panel.with_target(_query(expr, "", 0).instant())
    if link:
        panel.links([link])
    return _described(panel, title, about, unit, PROMETHEUS, width, height=4)


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
    """Return a panel that compares current numbers."""
    panel = bargauge.Panel().orientation(common_model.VizOrientation.HORIZONTAL).min(0)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.thresholds(_thresholds(limits))
    if most is not None:
        panel.max(most)
    for number, (legend, expr) in enumerate(queries.items()):
        panel.with_target(_query(expr, legend, number).instant())
    return _described(panel, title, about, unit, PROMETHEUS, width)


def heat(title: str, about: str, unit: str, expr: str, *, width: int = HALF) -> Panel:
    """Return a panel with a histogram over time; `expr` returns its buckets by `le`."""
    panel = heatmap.Panel().calculate(False)
    panel.color(
        heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(32)
    )
    panel.y_axis(heatmap.YAxisConfig().unit(unit))
    panel.with_target(
        _query(expr, "{{le}}", 0).range().exemplar(True).format(PromQueryFormat.HEATMAP)
    )
    return _described(panel, title, about, unit, PROMETHEUS, width)


def spans(
    place: Place,
    title: str,
    about: str,
    search: Spans,
    *columns: str,
    width: int = HALF,
) -> Panel | None:
    """Return a table of the newest spans that match, or None where there is no trace store.

    Tempo shows each span with attributes as `columns`, and a session's id as a link to the session.
    Jaeger shows the traces that contain such spans.
    """
    if place.traces is None:
        return None
    panel = table.Panel().cell_height(common_model.TableCellHeight.SM)
    if place.traces == "jaeger":
        panel.with_target(jaeger.query(search, place.traces_source))
        about = f"{about} {jaeger.limitations(search, columns)}"
    else:
        panel.with_target(
            tempo.TempoQuery()
            .ref_id("A")
            .datasource(place.traces_source)
            .query_type("traceql")
            .query(traceql(search, columns))
            .table_type(SearchTableType.SPANS)
            .limit(50)
            .spss(20)
        )
        url = place.url("sessions", session="${__value.raw}")
        panel.override_by_name(
            attributes.SESSION_ID,
            [
                model.DynamicConfigValue(
                    id_val="links", value=[{"title": "This session", "url": url}]
                )
            ],
        )
    return _described(panel, title, about, "none", place.traces_source, width)


def rows(
    title: str, about: str, unit: str, queries: Mapping[str, str], *, width: int = HALF
) -> Panel:
    """Return a table of current series in Prometheus, with a column for each query."""
    panel = table.Panel().cell_height(common_model.TableCellHeight.SM)
    for number, (legend, expr) in enumerate(queries.items()):
        panel.with_target(_query(expr, legend, number).instant().format(PromQueryFormat.TABLE))
    hidden = {"excludeByName": {"Time": True}}
    if len(queries) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=hidden))
    return _described(panel, title, about, unit, PROMETHEUS, width)


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


def _described(
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
