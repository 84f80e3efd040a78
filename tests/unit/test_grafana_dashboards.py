"""Dashboards as Grafana reads them: by its own models, by our rules, as files, for one of many."""

from __future__ import annotations

import copy
import json
import re

import pytest
from af_otel_semconv import metrics
from facility import af_otel

from af_otel.grafana import promql
from af_otel.grafana.dashboards import NAMES, dashboards
from af_otel.grafana.lint import lint
from af_otel.grafana.queries import metric_names, panels, queries

grafana = pytest.importorskip("grafana_foundation_sdk", reason="needs Python 3.11")


@pytest.fixture(scope="module")
def boards():
    return dashboards()


@pytest.mark.parametrize("name", NAMES)
def test_grafanas_own_models_read_and_write_each(boards, name):
    """Nothing is lost on the way: every field is one that Grafana's schema has."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    read = Dashboard.from_json(copy.deepcopy(boards[name]))
    assert list(lost(boards[name], json.loads(JSONEncoder().encode(read)))) == []


def lost(written, read, where=""):
    """What was written and is not read; what is read beyond it are defaults."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from lost(value, read.get(key, "nothing"), f"{where}/{key}")
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for number, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from lost(one, other, f"{where}/{number}")
    elif written != read:
        yield f"{where}: {written!r}, not {read!r}"


def test_our_rules_find_nothing(boards):
    """Each panel says how to read it, in a unit, of a source and a facility that can be chosen."""
    assert lint(boards) == []


def test_panels_lie_beside_each_other(boards):
    """None covers another, and none is wider than the page."""
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
    """Every link is to one of them, of the same facility."""
    for place, made in (("", boards), ("casa", dashboards("casa"))):
        uids = {board["uid"] for board in made.values()}
        led = set(re.findall(r"/d/([\w-]+)", json.dumps(made)))
        assert led <= uids, place
        assert len(uids) == len(NAMES)
        for board in made.values():
            assert board["links"][0]["tags"] == board["tags"]


def test_a_session_is_looked_for_where_it_was_seen(boards):
    """Sources and facility go along: a reader who chose another Tempo would else find nothing."""
    links = set(re.findall(r"/d/af-otel-sessions[^\"]*", json.dumps(boards)))

    (link,) = links
    kept = link.split("&")[1:]
    assert kept[:3] == [f"${{{name}:queryparam}}" for name in ("prometheus", "tempo", "facility")]
    assert kept[3:] == ["var-session=${__value.raw}"]


def test_panels_ask_for_the_exemplars_that_they_speak_of(boards):
    """A diamond that is not asked for leads nowhere."""
    speaking = [
        panel
        for board in boards.values()
        for panel in panels(board)
        if re.search("exemplar|diamond", panel["description"])
    ]
    assert speaking
    for panel in speaking:
        assert all(target.get("exemplar") for target in panel["targets"]), panel["title"]


def test_tables_show_the_newest_spans_and_each_once(boards):
    """Of more than fifty Tempo gives any; and a span that was open for a second is there as its
    marker, too.
    """
    asked = [query for each in boards.values() for query in queries(each)]
    traceql = [query.text for query in asked if query.source == "tempo"]
    assert traceql
    for text in traceql:
        assert text.endswith(" with (most_recent=true)"), text
        assert "name = " not in text or " != nil || status = error)" in text, text


def test_what_is_measured_whole_twice_is_not_added_up(boards):
    """A node by each facility on it, a claim by each node; and one disk may be full alone."""
    asked = {query.panel: query.text for query in queries(boards["kubernetes"])}
    for title in ("CPU", "Memory", "Disk", "The fullest volumes", "What volumes hold"):
        assert "max by (" in asked[title]
        assert "sum" not in asked[title]


def test_what_users_measure_is_shown_as_it_is(boards):
    """A score may be below 0, and what was computed on validation data is another line."""
    found = {panel["title"]: panel for panel in panels(boards["users"])}
    for title in ("Loss", "What else it logs", "The metric chosen above", "What operators collect"):
        assert "min" not in found[title]["fieldConfig"]["defaults"], title
    for title in ("Loss", "What else it logs", "Epoch"):
        assert "{{dataset}}" in found[title]["targets"][0]["legendFormat"]


def test_a_facilitys_name_is_in_no_query():
    """It tells dashboards apart; what they show is for a variable to say."""
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
            "overview: Servers: its data source `P1809F7CD0C75ACF3` is no variable",
        ),
        (with_another_metric, "overview: Servers: nobody is known to write `nonsense`"),
        (with_another_variable, "overview: Servers: `$b` is no variable of it"),
        (without_an_end, "overview: Servers: `(` has no other half in "),
        (with_a_uid_of_words, "overview: its uid is not 1 to 40 letters, digits, `-` and `_`: `my"),
        (with_an_old_source, "overview: Servers: its data source `Prometheus` is no variable"),
    ],
)
def test_each_rule_names_the_panel(boards, spoil, said):
    """Where it is, and what is wrong."""
    spoiled = copy.deepcopy(boards)
    spoil(spoiled["overview"])
    (problem,) = lint(spoiled)
    assert problem.startswith(said)


def test_what_people_add_in_grafana_can_be_read(boards):
    """A text asks nothing, a panel may have no title, and a source may be of another kind."""
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
        "overview: : its data source `` is no variable",
        "overview: Shared: it has no description",
        "overview: Shared: it has no unit",
        "overview: Shared: it asks nothing",
        "overview: Shared: its data source `` is no variable",
        "overview: : the facility is not asked for in ``",
        "spawn: its uid is not 1 to 40 letters, digits, `-` and `_`: ``",
    ]


def test_any_name_of_a_facility_makes_uids_that_grafana_takes():
    """Letters, digits, `-` and `_`: it refuses others, and two facilities' must not be one."""
    names = ("a b", "a/b", "é" * 9)
    made = [{board["uid"] for board in dashboards(name).values()} for name in names]

    assert all(re.fullmatch(r"[\w-]{1,40}", uid, re.ASCII) for uids in made for uid in uids)
    assert len(set.union(*made)) == 3 * len(NAMES)


def test_two_of_one_uid_are_found(boards):
    """Grafana would keep one of them."""
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
    """Labels, their values, functions and words of the language are none."""
    assert metric_names(query) - {"group_left", "10"} == asked


def test_growth_counts_births_and_bridges_gaps():
    """A counter's first value counts, unless it was there before a break in telemetry."""
    assert promql.grown("a_total", by="b") == (
        'sum by (b) (a_total{job=~"$facility/.+"} - '
        '(last_over_time(a_total{job=~"$facility/.+"}[1h] offset 5m) '
        'or a_total{job=~"$facility/.+"} * 0))'
    )


def test_none_of_many_is_a_share():
    """Where every spawn fails no series of a good one is there: that is 0, and not nothing."""
    share = promql.share(metrics.SPAWN_DURATION, 'outcome="ok"')
    whole = promql.count(metrics.SPAWN_DURATION)
    good = promql.count(metrics.SPAWN_DURATION, 'outcome="ok"')

    assert share == f"({good} or {whole} * 0) / ({whole} > 0)"


def test_command_lists_and_exports(tmp_path):
    """As JSON files whose data sources their reader chooses; what was exported keeps our rules."""
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


def test_command_says_what_is_wrong(tmp_path, boards):
    """A changed dashboard's faults are listed, and the exit code is 3."""
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
        f"error: `{tmp_path / 'mine.json'}` is no dashboard",
    )
    done = af_otel("dashboards", "lint", str(tmp_path / "none.json"))
    assert (done.returncode, "No such file or directory" in done.stderr) == (1, True)


def test_a_facilitys_grafana_is_found(tmp_path):
    """By its file; without one, and with one that does not say, that is told."""
    file = tmp_path / "facility.yaml"
    file.write_text(
        "name: casa\nhub: {namespace: jhub}\n"
        "backends: {prometheus: true, tempo: true}\n"
        "grafana: {url: 'https://grafana.example.org/'}\n"
    )
    done = af_otel("dashboards", "open", "--no-browser", "-f", str(file))
    assert done.stdout.strip() == "https://grafana.example.org/d/af-otel-overview-casa"

    file.write_text(file.read_text().replace("grafana:", "#"))
    done = af_otel("dashboards", "open", "--no-browser", "-f", str(file))
    assert done.returncode == 1
    assert "does not say where its Grafana is" in done.stderr

    done = af_otel("dashboards", "open", "--no-browser", "--state", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "error: No facility runs here" in done.stderr
