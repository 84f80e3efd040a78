"""Dashboards as Grafana reads them: by its models, by our rules, as files, for both stores."""

from __future__ import annotations

import copy
import json
import re

import pytest
from af_otel_semconv import metrics
from facility import af_otel
from inline_snapshot import snapshot

from af_otel.grafana import promql
from af_otel.grafana.dashboards import NAMES, dashboards
from af_otel.grafana.lint import lint
from af_otel.grafana.queries import metric_names, panels, queries
from servers import ROOT

grafana = pytest.importorskip("grafana_foundation_sdk", reason="needs Python 3.11")

RECORDED = ROOT / "tests" / "contract" / "tempo" / "answers.json"


@pytest.fixture(scope="module")
def boards():
    return dashboards()


@pytest.fixture(scope="module")
def jaegers():
    return dashboards(traces="jaeger")


@pytest.mark.parametrize("traces", ["tempo", "jaeger", None])
@pytest.mark.parametrize("name", NAMES)
def test_grafanas_own_models_read_and_write_each(name, traces):
    """No field is lost in a round trip, so all of them are in Grafana's schema."""
    from grafana_foundation_sdk.cog import runtime
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    from af_otel.grafana import jaeger

    register_default_plugins()
    runtime.register_dataquery_variant(jaeger.variant_config())
    board = dashboards(traces=traces)[name]
    read = Dashboard.from_json(copy.deepcopy(board))
    assert list(lost(board, json.loads(JSONEncoder().encode(read)))) == []


def lost(written, read, where=""):
    """Yield what was written but not read; additional fields of `read` are defaults."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from lost(value, read.get(key, "nothing"), f"{where}/{key}")
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for number, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from lost(one, other, f"{where}/{number}")
    elif written != read:
        yield f"{where}: {written!r}, not {read!r}"


@pytest.mark.parametrize("traces", ["tempo", "jaeger", None])
def test_our_rules_find_nothing(traces):
    """The dashboards for each trace store follow all rules."""
    assert lint(dashboards(traces=traces)) == []


def test_panels_lie_beside_each_other(boards):
    """No panel overlaps another, and none is wider than the page."""
    for name, board in boards.items():
        taken = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, (name, panel["title"])
            assert place["x"] + place["w"] <= 24, (name, panel["title"])
            taken |= cells


def test_dashboards_lead_to_each_other(boards):
    """Every link points to a dashboard of the same facility."""
    for facility, made in (("", boards), ("casa", dashboards("casa"))):
        uids = {board["uid"] for board in made.values()}
        linked = set(re.findall(r"/d/([\w-]+)", json.dumps(made)))
        assert linked <= uids, facility
        assert len(uids) == len(NAMES)
        for board in made.values():
            assert board["links"][0]["tags"] == board["tags"]


def test_a_link_to_a_session_carries_data_sources_and_facility(boards):
    """Without them, a reader who chose another Tempo would find nothing."""
    links = set(re.findall(r"/d/af-otel-sessions[^\"]*", json.dumps(boards)))

    (link,) = links
    kept = link.split("&")[1:]
    assert kept[:3] == [f"${{{name}:queryparam}}" for name in ("prometheus", "tempo", "facility")]
    assert kept[3:] == ["var-session=${__value.raw}"]


def test_panels_that_mention_exemplars_query_them(boards):
    """A panel does not describe diamonds that it does not show."""
    mentioning = [
        panel
        for board in boards.values()
        for panel in panels(board)
        if re.search("exemplar|diamond", panel["description"])
    ]
    assert mentioning
    for panel in mentioning:
        assert all(target.get("exemplar") for target in panel["targets"]), panel["title"]


def test_tables_show_the_newest_spans_and_each_once(boards):
    """The query asks for recent spans, and excludes the markers of open spans."""
    traceql = [query.text for query in searches(boards)]
    assert traceql
    for text in traceql:
        assert text.endswith(" with (most_recent=true)"), text
        assert "name = " not in text or " != nil || status = error)" in text, text


def searches(boards):
    """The queries to a trace store."""
    found = [query for board in boards.values() for query in queries(board)]
    return [query for query in found if query.source != "prometheus"]


def test_traceql_is_what_a_real_tempo_answered(boards):
    """Every TraceQL query, with variables filled in, is among the recorded ones."""
    recorded = [answer["params"].get("q", "") for answer in json.loads(RECORDED.read_text())]
    session = next(q for q in recorded if "span.session.id =~" in q).split('"')[3]
    values = {"facility": "state", "session": session, "slower": "100ms"}
    queried = [query.resolved(values) for query in searches(boards)]
    assert len(queried) == 12
    assert set(queried) <= set(recorded)


def test_searches_in_jaeger(jaegers):
    """Each names a service and filters by facility; tags are for equality, durations are not."""
    assert [
        (query.panel, json.loads(query.text) | {"limit": ...}) for query in searches(jaegers)
    ] == snapshot(
        [
            (
                "Latest failures",
                {
                    "service": "$service",
                    "tags": 'service.namespace="$facility" error="true"',
                    "limit": ...,
                },
            ),
            (
                "Sessions by their spawn",
                {
                    "service": "jupyterhub",
                    "operation": "spawn server",
                    "tags": 'service.namespace="$facility"',
                    "limit": ...,
                },
            ),
            (
                "Sessions with failures",
                {
                    "service": "$service",
                    "tags": 'service.namespace="$facility" error="true"',
                    "limit": ...,
                },
            ),
            (
                "Spawn",
                {
                    "service": "jupyterhub",
                    "operation": "spawn server",
                    "tags": 'service.namespace="$facility" session.id="$session"',
                    "limit": ...,
                },
            ),
            (
                "Kernels",
                {
                    "service": "jupyter-server",
                    "operation": "start kernel",
                    "tags": 'service.namespace="$facility" session.id="$session"',
                    "limit": ...,
                },
            ),
            (
                "Cells",
                {
                    "service": "jupyter-kernel",
                    "operation": "run cell",
                    "tags": 'service.namespace="$facility" session.id="$session"',
                    "limit": ...,
                },
            ),
            (
                "Computations",
                {
                    "service": "$scheduler",
                    "operation": "compute graph",
                    "tags": 'service.namespace="$facility" session.id="$session"',
                    "limit": ...,
                },
            ),
            (
                "Slow spawns",
                {
                    "service": "jupyterhub",
                    "operation": "spawn server",
                    "tags": 'service.namespace="$facility"',
                    "minDuration": "$slower",
                    "limit": ...,
                },
            ),
            (
                "Failed cells",
                {
                    "service": "jupyter-kernel",
                    "operation": "run cell",
                    "tags": 'service.namespace="$facility" error="true"',
                    "limit": ...,
                },
            ),
            (
                "Slow cells",
                {
                    "service": "jupyter-kernel",
                    "operation": "run cell",
                    "tags": 'service.namespace="$facility"',
                    "minDuration": "$slower",
                    "limit": ...,
                },
            ),
            (
                "Failed computations",
                {
                    "service": "$scheduler",
                    "operation": "compute graph",
                    "tags": 'service.namespace="$facility" error="true"',
                    "limit": ...,
                },
            ),
            (
                "Slow computations",
                {
                    "service": "$scheduler",
                    "operation": "compute graph",
                    "tags": 'service.namespace="$facility"',
                    "minDuration": "$slower",
                    "limit": ...,
                },
            ),
        ]
    )


def test_a_search_in_jaeger_is_a_query_of_grafanas_data_source(jaegers):
    """Its JSON has the fields of the data source's own query type."""
    panel = next(each for each in panels(jaegers["spawn"]) if each["title"] == "Slow spawns")
    assert panel["datasource"] == {"type": "jaeger", "uid": "${jaeger}"}
    assert panel["targets"] == snapshot(
        [
            {
                "datasource": {"type": "jaeger", "uid": "${jaeger}"},
                "limit": 50,
                "minDuration": "$slower",
                "operation": "spawn server",
                "queryType": "search",
                "refId": "A",
                "service": "jupyterhub",
                "tags": 'service.namespace="$facility"',
            }
        ]
    )


def test_jaegers_panels_describe_what_jaeger_cannot_show(jaegers, boards):
    """The attributes that are columns with Tempo are named in the description with Jaeger."""
    of_tempo = {panel["title"]: panel for board in boards.values() for panel in panels(board)}
    for board in jaegers.values():
        for panel in panels(board):
            if panel["datasource"]["type"] == "jaeger":
                (target,) = of_tempo[panel["title"]]["targets"]
                columns = re.search(r"select\((.+?)\)", target["query"])[1].split(", ")
                for column in columns:
                    assert f"`{column.removeprefix('span.')}`" in panel["description"]


def test_variables_in_jaegers_tags_have_one_value(jaegers):
    """`All` would be compared for equality; a facility that is known is chosen at first."""
    for board in (jaegers["sessions"], dashboards("casa", traces="jaeger")["sessions"]):
        variables = {each["name"]: each for each in board["templating"]["list"]}
        for name in ("facility", "session", "service", "scheduler"):
            assert not variables[name].get("multi")
            assert not variables[name].get("includeAll")
    assert variables["facility"]["current"]["value"] == "casa"
    assert variables["service"]["current"]["value"] == "jupyter-server"
    assert variables["session"]["query"] == ""


def test_without_a_trace_store_there_are_no_panels_of_traces(boards):
    """Nor headings and variables for them; the panels of metrics are the same."""
    for name, board in dashboards(traces=None).items():
        assert "tempo" not in json.dumps(board)
        assert [each["title"] for each in panels(board)] == [
            each["title"] for each in panels(boards[name]) if each["datasource"]["type"] != "tempo"
        ]
        rows = [panel["type"] == "row" for panel in board["panels"]]
        assert not any(one and other for one, other in zip(rows, [*rows[1:], True], strict=True))
        variables = {each["name"] for each in board["templating"]["list"]}
        assert not variables & {"session", "service", "slower"}


def test_what_is_measured_whole_twice_is_not_added_up(boards):
    """Each facility measures the whole node, each node the whole claim; and disks are separate."""
    queried = {query.panel: query.text for query in queries(boards["kubernetes"])}
    for title in ("CPU", "Memory", "Disk", "Fullest volumes", "Used bytes of volumes"):
        assert "max by (" in queried[title]
        assert "sum" not in queried[title]


def test_users_metrics_are_shown_unchanged(boards):
    """Negative values are visible, and validation data has a line for itself."""
    found = {panel["title"]: panel for panel in panels(boards["users"])}
    for title in (
        "Loss",
        "Other logged values",
        "The metric chosen above",
        "Metrics of operators",
    ):
        assert "min" not in found[title]["fieldConfig"]["defaults"], title
    for title in ("Loss", "Other logged values", "Epoch"):
        assert "{{dataset}}" in found[title]["targets"][0]["legendFormat"]


def test_a_facilitys_name_is_in_no_query():
    """It distinguishes dashboards; what they show is up to a variable."""
    for board in dashboards("casa").values():
        assert "casa" not in json.dumps([panel["targets"] for panel in panels(board)])


def without_unit(board):
    del next(panels(board))["fieldConfig"]["defaults"]["unit"]


def without_words(board):
    next(panels(board))["description"] = ""


def with_a_source(board):
    next(panels(board))["targets"][0]["datasource"]["uid"] = "P1809F7CD0C75ACF3"


def with_another_metric(board):
    next(panels(board))["targets"][0]["expr"] = 'sum (nonsense{job=~"$facility/.+"})'


def with_another_variable(board):
    next(panels(board))["targets"][0]["expr"] = 'up{job=~"$facility/.+", a="$b"}'


def without_an_end(board):
    next(panels(board))["targets"][0]["expr"] = 'sum (up{job=~"$facility/.+"}'


def with_a_uid_of_words(board):
    board["uid"] = "my facility"


def with_an_old_source(board):
    next(panels(board))["datasource"] = "Prometheus"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_unit, "overview: Servers: it has no unit"),
        (without_words, "overview: Servers: it has no description"),
        (
            with_a_source,
            "overview: Servers: its data source `P1809F7CD0C75ACF3` is not a variable",
        ),
        (with_another_metric, "overview: Servers: `nonsense` is not a known metric"),
        (with_another_variable, "overview: Servers: `$b` is not one of its variables"),
        (without_an_end, "overview: Servers: `(` has no counterpart in "),
        (with_a_uid_of_words, "overview: its uid is not 1 to 40 letters, digits, `-` and `_`: `my"),
        (with_an_old_source, "overview: Servers: its data source `Prometheus` is not a variable"),
    ],
)
def test_each_rule_names_the_panel(boards, spoil, said):
    """Each problem comes with its location."""
    spoiled = copy.deepcopy(boards)
    spoil(spoiled["overview"])
    (problem,) = lint(spoiled)
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"service": ""}, "its search names no service, which Jaeger requires"),
        ({"tags": 'error="true"'}, '`error="true"` does not filter by facility'),
        (
            {"tags": "service.namespace=$facility a=$slower $prefix"},
            (
                "`$prefix` may have several values, but Jaeger compares "
                "`service.namespace=$facility a=$slower $prefix` for equality"
            ),
        ),
        (
            {"tags": 'service.namespace="$facility'},
            '`"` has no counterpart in `service.namespace="$facility`',
        ),
        ({"queryType": "", "query": "$slower"}, None),
    ],
)
def test_rules_for_jaeger(jaegers, change, problem):
    """What Jaeger would reject or never find is reported; a lookup by trace id is fine."""
    spoiled = copy.deepcopy(jaegers)
    (panel,) = (each for each in panels(spoiled["dask"]) if each["title"] == "Slow computations")
    panel["targets"][0].update(change)
    expected = [f"dask: Slow computations: {problem}"] if problem else []
    assert lint(spoiled) == expected


def test_panels_added_in_grafana_are_checked(boards):
    """Texts have no query, panels may have no title, and data sources may be of other kinds."""
    changed = copy.deepcopy(boards)
    servers = next(panels(changed["overview"]))
    servers["targets"].append({"datasource": {"type": "loki", "uid": "${loki}"}, "refId": "Z"})
    changed["overview"]["panels"] += [
        {"type": "text", "options": {"content": "Ask Ada."}},
        {"type": "stat", "targets": [{"datasource": {"type": "tempo", "uid": "$tempo"}}]},
        {"type": "row", "collapsed": True, "panels": []},
        {"title": "Shared", "libraryPanel": {"uid": "x"}},
    ]
    changed["spawn"]["uid"] = None

    assert lint(changed) == [
        "overview: : it has no description",
        "overview: : it has no unit",
        "overview: : its data source `` is not a variable",
        "overview: Shared: it has no description",
        "overview: Shared: it has no unit",
        "overview: Shared: it has no query",
        "overview: Shared: its data source `` is not a variable",
        "overview: : `` does not filter by facility",
        "spawn: its uid is not 1 to 40 letters, digits, `-` and `_`: ``",
    ]


def test_any_name_of_a_facility_makes_uids_that_grafana_takes():
    """They consist of letters, digits, `-` and `_`, and are distinct for each facility."""
    names = ("a b", "a/b", "é" * 9)
    made = [{board["uid"] for board in dashboards(name).values()} for name in names]

    assert all(re.fullmatch(r"[\w-]{1,40}", uid, re.ASCII) for uids in made for uid in uids)
    assert len(set.union(*made)) == 3 * len(NAMES)


def test_a_uid_that_is_used_twice_is_found(boards):
    """Grafana would keep just one of the two dashboards."""
    twice = {**boards, "copy": boards["spawn"]}
    assert lint(twice) == ["af-otel-spawn: 2 dashboards have this uid"]


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ('sum by (le) (rate(a_bucket{x="b_c"}[5m] offset 1h))', {"a_bucket"}),
        ('a / on (x) group_left b{y=~"sum|c"} or vector(0)', {"a", "b"}),
        ('{__name__=~"a_b(_total)?", x="y"}', {"a_b"}),
        ('{__name__=~"user_.+"}', {"user_x"}),
        ('topk (10, time() - max by (job) (timestamp(a{b="1"})))', {"a"}),
    ],
)
def test_metrics_of_a_query_are_found(query, asked):
    """Labels, their values, functions and keywords are not taken for metrics."""
    assert metric_names(query) - {"group_left", "10"} == asked


def test_growth_counts_births_and_bridges_gaps():
    """A counter's first value counts, unless the series existed before a break in telemetry."""
    assert promql.grown("a_total", by="b") == (
        'sum by (b) (a_total{job=~"$facility/.+"} - '
        '(last_over_time(a_total{job=~"$facility/.+"}[1h] offset 5m) '
        'or a_total{job=~"$facility/.+"} * 0))'
    )


def test_none_of_many_is_a_share():
    """If every spawn fails, the share of successful ones is 0 instead of missing."""
    share = promql.share(metrics.SPAWN_DURATION, 'outcome="ok"')
    whole = promql.count(metrics.SPAWN_DURATION)
    good = promql.count(metrics.SPAWN_DURATION, 'outcome="ok"')

    assert share == f"({good} or {whole} * 0) / ({whole} > 0)"


def test_command_lists_and_exports(tmp_path):
    """Exported dashboards follow our rules, and their readers choose the data sources."""
    listed = json.loads(af_otel("dashboards", "list", "--json").stdout)
    assert [board["name"] for board in listed] == list(NAMES)

    done = af_otel("dashboards", "export", str(tmp_path / "boards"), "--name", "casa")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "boards" / f"{name}.json") for name in NAMES]
    board = json.loads((tmp_path / "boards" / "dask.json").read_text())
    assert (board["title"], board["uid"]) == ("Dask (casa)", "af-otel-dask-casa")
    kinds = [item["query"] for item in board["templating"]["list"] if item["type"] == "datasource"]
    assert kinds == ["prometheus", "tempo"]

    assert af_otel("dashboards", "lint", str(tmp_path / "boards")).returncode == 0


def test_command_exports_for_jaeger(tmp_path):
    """With `--traces jaeger`, readers choose a Jaeger."""
    done = af_otel("dashboards", "export", str(tmp_path), "--traces", "jaeger")
    assert done.returncode == 0, done.stderr
    board = json.loads((tmp_path / "sessions.json").read_text())
    sources = [each for each in board["templating"]["list"] if each["type"] == "datasource"]
    assert [each["query"] for each in sources] == ["prometheus", "jaeger"]
    assert not any("current" in each for each in sources)
    assert af_otel("dashboards", "lint", str(tmp_path)).returncode == 0


def test_command_lists_problems(tmp_path, boards):
    """The problems of a changed dashboard are listed, and the exit code is 3."""
    board = copy.deepcopy(boards["overview"])
    without_words(board)
    (tmp_path / "mine.json").write_text(json.dumps(board))
    done = af_otel("dashboards", "lint", str(tmp_path))
    assert done.returncode == 3
    assert done.stderr.splitlines()[0] == "error: mine: Servers: it has no description"
    assert af_otel("dashboards", "lint", str(tmp_path / "mine.json")).stderr == done.stderr

    (tmp_path / "mine.json").write_text("{}")
    done = af_otel("dashboards", "lint", str(tmp_path))
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        f"error: `{tmp_path / 'mine.json'}` is not a dashboard",
    )
    done = af_otel("dashboards", "lint", str(tmp_path / "none.json"))
    assert (done.returncode, "No such file or directory" in done.stderr) == (1, True)


def test_a_facilitys_grafana_is_found(tmp_path):
    """It is read from facility.yaml; a facility without an address is an error."""
    file = tmp_path / "facility.yaml"
    file.write_text(
        "name: casa\nhub: {namespace: jhub}\n"
        "backends: {prometheus: true, jaeger: true}\n"
        "grafana: {url: 'https://grafana.example.org/'}\n"
    )
    done = af_otel("dashboards", "open", "--no-browser", "-f", str(file))
    assert done.stdout.strip() == "https://grafana.example.org/d/af-otel-overview-casa"

    file.write_text(file.read_text().replace("grafana:", "#"))
    done = af_otel("dashboards", "open", "--no-browser", "-f", str(file))
    assert done.returncode == 1
    assert "The address of the facility's Grafana is not known" in done.stderr

    done = af_otel("dashboards", "open", "--no-browser", "--state", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "error: No facility runs here" in done.stderr
