"""A dashboard in Grafana's classic JSON, which versions 10 to 13 load from files.

The builders are marked as deprecated in favour of schema v2; what they make is not.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    GridPos,
    MappingType,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.grafana.board import (
    BLUE,
    Board,
    Panel,
    Place,
    Query,
    Stat,
    Table,
    Trend,
    place_row,
)
from tools.grafana.variables import ANNOTATIONS, HOME, TAG, list_variables

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
ROW_HEIGHT = 1
FAULTS = {
    "title": "Its faults, with every subject",
    "url": "${sentinel}/faults?check=${__value.raw}",
    "targetBlank": True,
}
"""Where the name of a check leads."""
AnyPanel = stat.Panel | timeseries.Panel | table.Panel


def build_classic(board: Board) -> dict[str, Any]:
    """Its JSON document."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        built = _begin(board)
        _add_variables(built, board)
        _add_annotations(built)
        _add_links(built)
        _add_rows(built, board)
        return _to_document(built.build())


def _to_document(built: Dashboard) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(built, cls=JSONEncoder))
    return document


def _begin(board: Board) -> dashboard.Dashboard:
    return (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([TAG])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )


def _add_variables(built: dashboard.Dashboard, board: Board) -> None:
    built.with_variable(
        dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    )
    for each in list_variables(board):
        variable = (
            dashboard.QueryVariable(each.name)
            .label(each.name.capitalize())
            .query(each.query)
            .definition(each.query)
            .datasource(SOURCE)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
        )
        built.with_variable(variable.all_value(each.all_value) if each.all_value else variable)
    built.with_variable(
        dashboard.TextBoxVariable("sentinel")
        .label("Sentinel's page")
        .description("Where links to sentinel's own page lead.")
        .default_value(HOME)
        .current(VariableOption(selected=True, text=HOME, value=HOME))
    )


def _add_annotations(built: dashboard.Dashboard) -> None:
    for each in ANNOTATIONS:
        built.annotation(
            dashboard.AnnotationQuery()
            .name(each.name)
            .datasource(SOURCE)
            .enable(True)
            .icon_color(each.color)
            .expr(each.query.promql)
            .step("10s")
            .title_format(each.title)
            .tag_keys(each.tags)
            .use_value_for_time(False)
        )


def _add_links(built: dashboard.Dashboard) -> None:
    built.link(
        dashboard.DashboardLink("Sentinel")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )
    built.link(
        dashboard.DashboardLink("Status page")
        .type(DashboardLinkType.LINK)
        .url("${sentinel}/")
        .icon("external link")
        .tooltip("Sentinel's own page")
        .target_blank(True)
    )


def _add_rows(built: dashboard.Dashboard, board: Board) -> None:
    y, number = 0, 1
    for row in board.rows:
        if row.heading:
            place = GridPos(h=ROW_HEIGHT, w=24, x=0, y=y)
            built.with_row(dashboard.Row(row.heading).grid_pos(place).id(100 + number))
            y += ROW_HEIGHT
        places = place_row(row.panels, y)
        for panel, at in zip(row.panels, places, strict=True):
            built.with_panel(_make_panel(panel, at).id(number))
            number += 1
        y += places[0].height


def _make_panel(panel: Panel, at: Place) -> AnyPanel:
    made: AnyPanel
    if isinstance(panel, Stat):
        made = _make_stat(panel)
    elif isinstance(panel, Trend):
        made = _make_trend(panel)
    elif isinstance(panel, Table):
        made = _make_table(panel)
    else:
        raise TypeError(f"no panel of Grafana for {type(panel).__name__}")
    made.title(panel.title).description(panel.about).datasource(SOURCE).unit(panel.unit)
    made.grid_pos(GridPos(h=at.height, w=at.width, x=at.x, y=at.y))
    if panel.runbook:
        link = dashboard.DashboardLink(f"Runbook: {panel.runbook}").type(DashboardLinkType.LINK)
        made.links([link.url(f"${{sentinel}}/runbooks/{panel.runbook}").target_blank(True)])
    return made


def _list_targets(queries: Sequence[Query]) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery().expr(query.promql).ref_id(chr(ord("A") + i)).datasource(SOURCE)
        for i, query in enumerate(queries)
    ]


# -- one figure ------------------------------------------------------------------------------------


def _make_stat(panel: Stat) -> stat.Panel:
    made = (
        stat.Panel()
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .no_value("no data")
        .thresholds(_make_steps(panel.base, panel.steps))
    )
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    if panel.words:
        made.mappings([_make_words(panel.words)])
    for target in _list_targets(panel.queries):
        made.with_target(target.instant())
    return made


def _make_words(words: Sequence[tuple[str, str, str]]) -> ValueMap:
    results = {value: ValueMappingResult(text=text, color=color) for value, text, color in words}
    made = ValueMap(options=results)
    made.type_val = MappingType.VALUE_TO_TEXT.value
    return made


def _make_steps(base: str, steps: Sequence[tuple[float, str]]) -> dashboard.ThresholdsConfig:
    all_steps = [Threshold(value=None, color=base)]
    all_steps += [Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(all_steps)


# -- over time -------------------------------------------------------------------------------------


def _make_trend(panel: Trend) -> timeseries.Panel:
    legend = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    made = (
        timeseries.Panel()
        .legend(legend.placement(common.LegendPlacement.BOTTOM).show_legend(True).calcs([]))
        .tooltip(tooltip.sort(common.SortOrder.DESCENDING))
        .line_width(1)
        .fill_opacity(30 if panel.stacked else 5)
        .show_points(common.VisibilityMode.NEVER)
        .axis_soft_min(0)
        .no_value("no data")
    )
    if panel.stacked:
        made.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if panel.top is not None:
        made.max(panel.top)
    for name, color in panel.colors:
        fixed = dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color(color).build()
        made.override_by_name(name, [DynamicConfigValue(id_val="color", value=fixed)])
    for query, target in zip(panel.queries, _list_targets(panel.queries), strict=True):
        made.with_target(target.range().legend_format(query.legend))
    return made


# -- subjects --------------------------------------------------------------------------------------


def _make_table(panel: Table) -> table.Panel:
    made = (
        table.Panel()
        .no_value("none")
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color(BLUE))
    )
    for target in _list_targets(panel.queries):
        made.with_target(target.instant().format(PromQueryFormat.TABLE))
    made.transformations(_make_columns(panel))
    for label, title in panel.labels:
        if label == "check":
            made.override_by_name(title, [DynamicConfigValue(id_val="links", value=[FAULTS])])
    for query in panel.queries:
        if query.unit:
            made.override_by_name(
                query.legend, [DynamicConfigValue(id_val="unit", value=query.unit)]
            )
    return made


def _make_columns(panel: Table) -> list[DataTransformerConfig]:
    """Labels first, then figures; the time is that of the dashboard, and no column."""
    if len(panel.queries) == 1:
        figures = {"Value": panel.queries[0].legend}
    else:
        figures = {
            f"Value #{chr(ord('A') + i)}": query.legend for i, query in enumerate(panel.queries)
        }
    names = dict(panel.labels) | figures
    organize = {
        "excludeByName": {"Time": True},
        "indexByName": {name: i for i, name in enumerate(names)},
        "renameByName": names,
    }
    made = [DataTransformerConfig(id_val="organize", options=organize)]
    if len(panel.queries) > 1:
        made.insert(0, DataTransformerConfig(id_val="merge", options={}))
    return made
