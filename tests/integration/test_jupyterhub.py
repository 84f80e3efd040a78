"""A real hub's spawns and sessions, as its instrumentation tells them to a real Collector."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from af_otel_semconv import attributes, metrics, spans
from hubs import environment_of, running_hub
from pythons import OLDEST

from servers import running_collector, wait_for

STALE = {
    "TRACEPARENT": f"00-{'1' * 32}-{'2' * 16}-01",
    "TRACESTATE": "stale=1",
    "BAGGAGE": "stale=1",
}
OUTCOME = attributes.SPAWN_OUTCOME


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    with running_collector(tmp_path_factory.mktemp("collector")) as running:
        yield running


@pytest.fixture(scope="module", params=["newest", "oldest"])
def hub(request, tmp_path_factory, collector):
    """A hub of the newest and of the oldest JupyterHub, for all tests of this module."""
    python = sys.executable
    if request.param == "oldest":
        if not OLDEST.exists():
            pytest.skip(f"`make test` makes `{OLDEST}`, with the oldest JupyterHub")
        python = str(OLDEST)
    directory = tmp_path_factory.mktemp("hub")
    with running_hub(directory, collector.endpoint, python, STALE) as running:
        yield running
        assert "Telemetry failed" not in running.log.read_text()


class Story:
    """What the Collector got since the test began."""

    def __init__(self, collector):
        self.collector = collector
        self._seen = len(collector.spans())
        self._before = self._totals()

    def spans(self, name, count=1):
        def enough():
            found = [s for s in self.collector.spans()[self._seen :] if s["name"] == name]
            return found if len(found) >= count else None

        return wait_for(enough, f"{count} spans `{name}`", 60)

    def spawns(self, count=1):
        return self.spans(spans.SPAWN_SERVER, count)

    def ended(self, hub, count=1):
        """How many sessions of a hub ended by each reason, as soon as there are `count`.

        Of one hub: what another test's said last may come now.
        """

        def enough():
            now = self._totals()
            reasons = {}
            for (why, process), number in now.items():
                new = number - self._before.get((why, process), 0)
                if process == hub.url and new:
                    reasons[why] = new
            return reasons if sum(reasons.values()) >= count else None

        return wait_for(enough, f"{count} sessions ended", 60)

    def _totals(self):
        return {
            (point["attributes"][attributes.SESSION_END_REASON], _process(point)): point["value"][
                "count"
            ]
            for point in self.collector.points(metrics.SESSION_DURATION.name)
        }

    def active(self, hub):
        """The last word on how many servers run."""
        points = self._active(hub)
        return points[-1] if points else 0

    def spoken(self, hub):
        """Return how often the hub has said how many servers run."""
        return len(self._active(hub))

    def _active(self, hub):
        points = self.collector.points(metrics.SERVER_ACTIVE.name)
        return [point["value"] for point in points if _process(point) == hub.url]


def _process(point):
    return point["resource"]["service.instance.id"]


@pytest.fixture
def story(collector):
    return Story(collector)


def traceparent(span):
    return f"{span['trace_id']}-{span['span_id']}"


def carried(pid):
    """Trace and span that a server's environment names, and its baggage."""
    environment = environment_of(pid)
    assert "TRACESTATE" not in environment
    _, trace, span, _ = environment["TRACEPARENT"].split("-")
    baggage = dict(item.split("=") for item in environment["BAGGAGE"].split(","))
    return f"{trace}-{span}", baggage


def hooks(hub):
    return (hub.directory / "hooks.log").read_text().splitlines()


def test_a_session_begins_at_the_login_form_and_ends_with_its_button(hub, story):
    """The spawn is a root linked to its request; the server's environment carries it; then the
    route; the facility's hooks run; the session's end has its reason.
    """
    browser = hub.log_in("canary-ann")
    pid = hub.wait_until_ready("canary-ann")
    [spawn] = story.spawns()
    [route] = story.spans(spans.ADD_ROUTE)
    [request] = story.spans("request")

    assert spawn["parent_id"] is None
    assert [traceparent(link) for link in spawn["links"]] == [traceparent(request)]
    assert spawn["status"] == "unset"
    told = dict(spawn["attributes"])
    session, pseudonym = told.pop(attributes.SESSION_ID), told.pop(attributes.USER_HASH)
    assert len(session) == 32
    assert len(pseudonym) == 16
    assert told == {
        OUTCOME: "ok",
        attributes.SPAWN_IMAGE: "registry.example:5000/lab/cc:2026.8",
        attributes.SPAWNER_CLASS: "FacilitySpawner",
        attributes.SERVER_NAMED: False,
    }
    identity = {attributes.SESSION_ID: session, attributes.USER_HASH: pseudonym}
    assert carried(pid) == (traceparent(spawn), identity)

    assert (route["trace_id"], route["parent_id"]) == (spawn["trace_id"], spawn["span_id"])
    assert route["start"] >= spawn["end"]
    assert route["attributes"] == identity
    assert f"canary-ann {spawn['span_id']}" in hooks(hub)

    wait_for(lambda: story.active(hub) == 1, "one server is active")
    hub.stop_server(browser, "canary-ann")
    assert story.ended(hub) == {"user": 1}
    wait_for(lambda: story.active(hub) == 0, "no server is active")
    assert "canary-ann stopped" in hooks(hub)


def test_failures_are_told_apart(hub, story):
    """An exception, a server that exits, one that never answers and a start that takes too long,
    all at once; none of them was a session.
    """
    expected = {
        "raises": ("error", "RuntimeError"),
        "exits": ("error", "exited"),
        "silent": ("timeout", "timeout"),
        "hangs": ("timeout", "timeout"),
    }
    if hub.command[0] != str(OLDEST):
        # JupyterHub 6 lets a spawner say why in a word.
        expected["refused"] = ("error", "quota")
    for profile in expected:
        hub.add_user(f"canary-{profile}")
        hub.ask_for_server(f"canary-{profile}", profile=profile)
    found = {}
    for spawn in story.spawns(len(expected)):
        told = spawn["attributes"]
        assert spawn["status"] == "error"
        assert spawn["status_message"] == ""
        assert spawn["events"] == []
        found[told[attributes.SPAWN_PROFILE]] = (told[OUTCOME], told[attributes.ERROR_TYPE])
    assert found == expected

    pid = hub.spawn("canary-raises", profile="None: too small!")
    retry = story.spawns(len(expected) + 1)[-1]
    assert retry["attributes"][OUTCOME] == "ok"
    assert retry["attributes"][attributes.SPAWN_PROFILE] == "none-too-small"
    assert carried(pid)[0] == traceparent(retry)
    hub.cull("canary-raises")
    assert story.ended(hub) == {"culled": 1}


def test_a_start_that_is_cancelled_is_no_error(hub, story):
    """The hub interrupts a start when the user asks it to stop."""
    hub.add_user("canary-undecided")
    asked = hub.ask_for_server("canary-undecided", profile="waits")
    assert asked.status_code == 202
    hub.api("DELETE", "users/canary-undecided/server")
    [spawn] = story.spawns()
    assert spawn["attributes"][OUTCOME] == "cancelled"
    assert attributes.ERROR_TYPE not in spawn["attributes"]
    assert spawn["status"] == "unset"


def test_a_server_that_dies_ends_its_session(hub, story):
    """The hub's poll finds it; that poll, days later maybe, is no part of the spawn's trace."""
    hub.add_user("canary-dot")
    pid = hub.spawn("canary-dot")
    [spawn] = story.spawns()
    os.kill(pid, signal.SIGKILL)
    hub.wait_until_gone("canary-dot")
    assert story.ended(hub) == {"died": 1}
    after = [poll for poll in story.spans("poll") if poll["start"] > spawn["end"]]
    assert after
    assert spawn["trace_id"] not in {poll["trace_id"] for poll in after}


def test_servers_that_start_together_keep_their_own_contexts(hub, story):
    """Two users, two servers of one of them: a trace and a session each, a pseudonym per user."""
    servers = [("canary-eve", ""), ("canary-fay", ""), ("canary-fay", "canary-second")]
    for user in ("canary-eve", "canary-fay"):
        hub.add_user(user)
    for user, name in servers:
        hub.ask_for_server(user, name).raise_for_status()
    told = {server: carried(hub.wait_until_ready(*server)) for server in servers}
    spawns = {traceparent(spawn): spawn["attributes"] for spawn in story.spawns(3)}
    assert len(spawns) == 3
    for (_, name), (context, baggage) in told.items():
        mine = spawns[context]
        assert mine[attributes.SESSION_ID] == baggage[attributes.SESSION_ID]
        assert mine[attributes.USER_HASH] == baggage[attributes.USER_HASH]
        assert mine[attributes.SERVER_NAMED] is bool(name)
    pseudonyms = [baggage[attributes.USER_HASH] for _, baggage in told.values()]
    assert pseudonyms[1] == pseudonyms[2] != pseudonyms[0]
    assert len({route["parent_id"] for route in story.spans(spans.ADD_ROUTE, 3)}) == 3
    for user, name in servers:
        hub.cull(user, name)
    assert story.ended(hub, 3) == {"culled": 3}


def test_a_server_without_a_route_fails_its_session(hub, story):
    """The spawn itself went well; the hub stops what nobody could reach."""
    hub.add_user("canary-lost")
    hub.ask_for_server("canary-lost")
    [spawn] = story.spawns()
    [route] = story.spans(spans.ADD_ROUTE)
    assert spawn["attributes"][OUTCOME] == "ok"
    assert route["parent_id"] == spawn["span_id"]
    assert (route["status"], route["status_message"]) == ("error", "")
    assert route["attributes"][attributes.ERROR_TYPE] == "LookupError"
    assert route["events"] == []
    assert story.ended(hub) == {"failed": 1}


def test_nobody_can_be_read_from_what_was_sent(hub, collector):
    """No names of users or servers, no tokens, no addresses of theirs, in spans or metrics."""
    pid = hub.spawn("canary-ann", "canary-third")
    token = environment_of(pid)["JUPYTERHUB_API_TOKEN"]
    hub.cull("canary-ann", "canary-third")
    for stored in (collector.spans_file, collector.metrics_file):
        text = stored.read_text()
        for secret in ("canary", "/user/", token, hub.token, hub.culler_token):
            assert secret not in text


def test_a_hub_that_restarts_knows_its_servers_and_its_users_again(tmp_path, collector, story):
    """A server that ran on is counted, and timed from its own start; the pseudonym stays."""
    with running_hub(tmp_path, collector.endpoint, cleanup_servers=False) as hub:
        hub.add_user("canary-gil")
        hub.spawn("canary-gil")
        [first] = story.spawns()
        wait_for(lambda: story.active(hub) == 1, "one server is active")
        hub.stop()
        hub.start()
        hub.wait_until_ready("canary-gil")
        restarted = story.spoken(hub)
        wait_for(lambda: story.spoken(hub) > restarted + 1, "the new hub's own count")
        assert story.active(hub) == 1
        hub.cull("canary-gil")
        assert story.ended(hub) == {"culled": 1}
        wait_for(lambda: story.active(hub) == 0, "no server is active")
        hub.spawn("canary-gil")
        second = story.spawns(2)[-1]
        assert (
            first["attributes"][attributes.USER_HASH] == second["attributes"][attributes.USER_HASH]
        )
        hub.cull("canary-gil")
    ages = [point["value"] for point in collector.points(metrics.SESSION_DURATION.name)]
    assert ages[-1]["sum"] > 0


def test_a_hub_that_goes_down_with_its_servers_says_so(tmp_path, collector, story):
    """The last metrics leave before the hub does."""
    with running_hub(tmp_path, collector.endpoint) as hub:
        hub.add_user("canary-hal")
        hub.spawn("canary-hal")
        story.spawns()
    assert story.ended(hub) == {"shutdown": 1}


def test_a_hub_whose_telemetry_is_broken_serves_its_users(tmp_path, collector):
    """Every span and instrument raises: servers come and go, the log says it."""
    with running_hub(tmp_path, collector.endpoint, env={"HUB_BROKEN": "1"}) as hub:
        hub.add_user("canary-ida")
        environment = environment_of(hub.spawn("canary-ida"))
        assert "TRACEPARENT" not in environment
        hub.cull("canary-ida")
        assert hub.log.read_text().count("Telemetry failed in `Spawns._begin`") == 1
