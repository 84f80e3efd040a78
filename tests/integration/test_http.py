"""HTTP of a real hub, its proxy and a user's server, as a real Collector received it."""

from __future__ import annotations

import json
import secrets
import sys

import httpx
import pytest
from af_otel_semconv import attributes, metrics, spans
from hubs import running_hub
from pythons import OLDEST

from servers import running_collector, wait_for

USER = "canary-ada"
SPAWN = "POST /hub/api/users/{}/server"


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    with running_collector(tmp_path_factory.mktemp("collector")) as running:
        yield running


@pytest.fixture(scope="module", params=["newest", "oldest"])
def hub(request, tmp_path_factory, collector):
    """A hub of the newest and of the oldest JupyterHub on which a user had a server."""
    python = sys.executable
    if request.param == "oldest":
        if not OLDEST.exists():
            pytest.skip(f"`make test` makes `{OLDEST}`, with the oldest JupyterHub")
        python = str(OLDEST)
    directory = tmp_path_factory.mktemp("hub")
    with running_hub(directory, collector.endpoint, python, {"HUB_HTTP": "1"}) as running:
        running.add_user(USER)
        running.ask_for_server(USER).raise_for_status()
        wait_for(lambda: (running.server(USER) or {}).get("ready"), "the server", 60)
        for _ in range(30):
            httpx.get(f"{running.url}/hub/health").raise_for_status()
        assert httpx.get(f"{running.url}/hub/{USER}?token={USER}").status_code == 404
        running.api("DELETE", f"users/{USER}/server").raise_for_status()
        yield running
        assert "Telemetry" not in running.log.read_text()


def counted(collector, hub, name, *keys):
    """The newest count of each series of a histogram of this hub."""
    found = {}
    for point in collector.points(name):
        if point["resource"]["service.instance.id"] == hub.url:
            found[tuple(point["attributes"].get(key) for key in keys)] = point["value"]["count"]
    return found


def made(collector, hub, name):
    """The spans of this hub with a name."""
    return [
        span
        for span in collector.spans()
        if span["name"] == name and span["resource"]["service.instance.id"] == hub.url
    ]


def test_requests_are_counted_by_method_route_and_status(hub, collector):
    """Users' names are placeholders, and what has no handler is one route."""
    keys = (attributes.HTTP_METHOD, attributes.HTTP_ROUTE, attributes.HTTP_STATUS)

    def look():
        found = counted(collector, hub, metrics.HTTP_SERVER_DURATION.name, *keys)
        return found if ("DELETE", "/hub/api/users/{}/server", 204) in found else None

    found = wait_for(look, "the last request", 60)
    assert found["GET", "/hub/health", 200] == 30
    assert found["POST", "/hub/api/users/{}/server", 202] == 1
    assert found["GET", attributes.OTHER, 404] == 1


def test_requests_that_are_sent_are_counted_by_peer(hub, collector):
    """The proxy learns of a route, and the hub waits for the server."""
    keys = (attributes.HTTP_METHOD, attributes.PEER, attributes.URL_TEMPLATE)

    def look():
        found = counted(collector, hub, metrics.HTTP_CLIENT_DURATION.name, *keys)
        return found if ("DELETE", "proxy", "/api/routes/{}") in found else None

    found = wait_for(look, "the route's removal", 60)
    assert ("POST", "proxy", "/api/routes/{}") in found
    assert ("GET", "server", "/api") in found


def test_the_request_for_a_server_has_its_session(hub, collector):
    """It is a trace of its own, and `spawn server` remains the root of its trace."""
    spawn = wait_for(lambda: made(collector, hub, spans.SPAWN_SERVER), "the spawn", 60)[0]
    asked = wait_for(lambda: made(collector, hub, SPAWN), "the request", 60)[0]
    assert (spawn["parent_id"], asked["parent_id"]) == (None, None)
    assert spawn["trace_id"] != asked["trace_id"]
    assert [link["span_id"] for link in spawn["links"]] == [asked["span_id"]]
    for name in (attributes.SESSION_ID, attributes.USER_HASH):
        assert asked["attributes"][name] == spawn["attributes"][name]


def test_a_request_with_a_trace_joins_it_and_its_session(hub, collector):
    """The hub says whose session it is; one that it does not know is not believed."""
    hub.ask_for_server(USER).raise_for_status()
    wait_for(lambda: (hub.server(USER) or {}).get("ready"), "the server", 60)
    spawn = wait_for(lambda: made(collector, hub, spans.SPAWN_SERVER)[1:], "the spawn", 60)[0]
    session = spawn["attributes"][attributes.SESSION_ID]
    for named in (session, secrets.token_hex(16)):
        trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
        httpx.get(
            f"{hub.url}/hub/health",
            headers={
                "traceparent": f"00-{trace_id}-{span_id}-01",
                "baggage": f"session.id={named},user.hash={'0' * 16}",
            },
        ).raise_for_status()

        def look(trace_id=trace_id):
            found = made(collector, hub, "GET /hub/health")
            return [span for span in found if span["trace_id"] == trace_id]

        (span,) = wait_for(look, "the request", 60)
        assert span["parent_id"] == span_id
        identity = {attributes.SESSION_ID, attributes.USER_HASH}
        found = {key: span["attributes"].get(key) for key in identity}
        known = spawn["attributes"] if named == session else {}
        assert found == {key: known.get(key) for key in identity}
    hub.api("DELETE", f"users/{USER}/server").raise_for_status()


def test_no_name_is_recorded(hub, collector):
    """Neither in spans nor in points, of HTTP or others."""
    assert USER not in json.dumps([collector.spans(), collector.points()])
