"""Route templates of real applications: bounded, and without the names that paths have."""

from __future__ import annotations

import re

import pytest
from af_otel_instrumentation.http._peers import peer_of, sending_to
from af_otel_instrumentation.http._templates import template


@pytest.mark.parametrize(
    ("pattern", "made"),
    [
        (r"/hub/api/users/([^/]+)/servers/([^/]*)$", "/hub/api/users/{}/servers/{}"),
        (r"/hub/api/?", "/hub/api"),
        (r"/hub/error/(\d+)", "/hub/error/{}"),
        (r"/api/kernels/(?P<kernel_id>\w+-\w+)/channels$", "/api/kernels/{kernel_id}/channels"),
        (r"/api/contents(?P<path>(?:(?:/[^/]+)+|/?))$", "/api/contents{path}"),
        (r"/lab(?P<mode>/doc)?(?P<tree>/tree/.*)?", "/lab{mode}{tree}"),
        (r"/robots\.txt", "/robots.txt"),
        (r"/files/[^()]+/\d{3}", "/files/{}/{}"),
        (r"/a/(?!b/)(c|d)", "/a/{}"),
        (r"/static/.*", "/static/{}"),
        (r"/(.*)", "other"),
        (r"(.*)", "other"),
        (r".*", "other"),
    ],
)
def test_groups_become_placeholders(pattern, made):
    """A catch-all is no route: what it serves is unknown."""
    assert template(pattern) == made


def test_the_base_url_with_its_users_name_is_left_out():
    """Both as jupyter_server writes it into patterns, and escaped."""
    for base in ("/user/ada.l/", re.escape("/user/ada.l/")):
        assert template(f"{base}api/status", "/user/ada.l/") == "/api/status"


def test_every_route_of_the_hub_is_a_plain_template():
    """No syntax of regular expressions is left in any."""
    from jupyterhub.apihandlers import default_handlers as api
    from jupyterhub.handlers import default_handlers as pages

    made = {template(f"/hub{pattern}") for pattern, *_ in [*api, *pages]}
    assert len(made) > 40
    assert not [route for route in made if re.search(r"[()\[\]\\?*+^$|]", route)]


def test_every_route_of_a_users_server_is_a_plain_template():
    """Of all services that jupyter_server has, and without the user's name."""
    from jupyter_server.serverapp import JUPYTER_SERVICE_HANDLERS, ServerWebApplication

    modules = [name for names in JUPYTER_SERVICE_HANDLERS.values() for name in names or ()]
    assert ServerWebApplication
    patterns = [
        pattern
        for name in modules
        for pattern, *_ in __import__(name, fromlist=["default_handlers"]).default_handlers
    ]
    made = {template(f"/user/canary{pattern}", "/user/canary/") for pattern in patterns}
    assert len(made) > 20
    assert not [route for route in made if re.search(r"[()\[\]\\?*+^$|]|canary", route)]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://hub:8081/hub/api/users/ada/activity", ("hub", "/hub/api/users/{}/activity")),
        ("http://hub:8081/hub/api/users/token", ("hub", "/hub/api/users/{}")),
        ("http://hub:8081/hub/api/user?token=canary", ("hub", "/hub/api/user")),
        ("http://hub:8081/hub/api", ("hub", "/hub/api")),
        ("http://hub:8081/elsewhere/canary", ("hub", "other")),
        ("http://hub:9000/hub/api/user", ("other", "other")),
        ("https://api.github.com/user", ("other", "other")),
        ("not a url", ("other", "other")),
    ],
)
def test_a_server_knows_its_hub_by_its_address(monkeypatch, url, found):
    """Only there do requests carry a context; what is asked is a template."""
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://hub:8081/hub/api")
    assert peer_of(url) == found


def test_a_hub_says_itself_whom_it_sends_to():
    """The proxy's routes and the servers that it waits for have users' names in them."""
    token = sending_to.set("proxy")
    assert peer_of("http://proxy:8001/api/routes/user/ada/") == ("proxy", "/api/routes/{}")
    assert peer_of("http://proxy:8001/api/routes") == ("proxy", "/api/routes")
    sending_to.reset(token)
    token = sending_to.set("server")
    assert peer_of("http://10.0.0.1:8888/user/ada/api") == ("server", "/api")
    sending_to.reset(token)
    assert peer_of("http://10.0.0.1:8888/user/ada/api") == ("other", "other")
