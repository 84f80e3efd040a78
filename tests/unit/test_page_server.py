"""The page's server: what may be asked, by whom, and what it says when others do not answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from af_otel.backends import http as backends_http
from af_otel.backends.connect import connect
from af_otel.backends.http import Api
from af_otel.page import server
from af_otel.page.files import STATIC, joined
from af_otel.page.gate import Gate
from af_otel.page.server import Server, Site
from servers import serving, wait_for

GATE = Gate.make("owner")
CLIENT = httpx.Client(headers=GATE.headers)


class Echo(BaseHTTPRequestHandler):
    """Answers with the path it was asked for, or with what a test wants."""

    answer = None

    def do_GET(self):
        body = (
            self.answer or json.dumps({"asked": self.path, "services": ["a"], "data": []}).encode()
        )
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def page():
    """A page whose Jaeger and Prometheus answer with what they were asked."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Echo)) as upstream:
        site = Site(
            "test",
            connect("jaeger", upstream),
            Api("Prometheus", upstream),
            {"JupyterHub": "http://hub"},
            GATE,
        )
        with serving(Server(0, site)) as url:
            yield url


def test_every_answer_has_the_policy(page):
    """No inline script, nothing from elsewhere, in no frame; also with errors."""
    for path in ("/", "/main.js", "/page.css", "/api/about", "/nothing"):
        answer = CLIENT.get(page + path)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    index = CLIENT.get(page).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", index)


@pytest.mark.parametrize(
    "path",
    [
        "/server.py", "/../server.py", "/..%2fserver.py", "/static/main.js", "//etc/passwd",
        "/tempo/api/search", "/api/v3/services", "/prometheus/api/v1/admin/tsdb/snapshot",
        "/prometheus/api/v1/status/config", "/prometheus/-/quit", "/api/traces/a%2f..%2fb",
        "/api/traces/1", "/api/sessions/a/b", "/api/sessions/",
    ],
)  # fmt: skip
def test_nothing_else_can_be_asked_for(page, path):
    """Files are those of the front end, paths those of a list."""
    connection = http.client.HTTPConnection(page.removeprefix("http://"), timeout=10)
    # As it stands: an HTTP library would tidy it up.
    connection.request("GET", path, headers=GATE.headers)

    assert connection.getresponse().status == 404
    connection.close()


@pytest.mark.parametrize(
    "asked",
    [
        "limit=0", "limit=201", "limit=x", "limit=1e9", "start=x", "start=nan", "end=inf",
        "start=5&end=4", "start=-1", "start=1796018286000", "before=x", "before=-s1",
    ],
)  # fmt: skip
def test_what_a_list_cannot_be_asked_is_refused(page, asked):
    """Numbers that are none, too many sessions, or times in milliseconds are a clear error."""
    answer = CLIENT.get(f"{page}/api/sessions?{asked}")

    assert answer.status_code == 400
    assert asked.partition("=")[0] in answer.text or "list of sessions" in answer.text


def test_an_empty_list_is_an_answer(page):
    """A store without sessions has an empty page, and there is no next one."""
    answer = CLIENT.get(f"{page}/api/sessions", params={"start": 0, "limit": 200})

    assert answer.json() == {"sessions": [], "next": None, "complete": True}


def test_an_error_of_ours_is_an_answer_and_in_the_log(page, monkeypatch, capsys):
    """A server that is silent would be said to be gone."""
    monkeypatch.setattr(server, "serialize", lambda story: 1 / 0)
    monkeypatch.setattr(server.find, "session_story", lambda store, session_id: None)

    answer = CLIENT.get(f"{page}/api/sessions/a")

    assert answer.status_code == 500
    assert answer.json()["error"]["where"] == "`af-otel logs page` says why"
    logged = []
    wait_for(
        lambda: logged.append(capsys.readouterr().err) or "ZeroDivisionError" in "".join(logged),
        "what went wrong, in the log",
    )


def test_a_session_may_have_any_id(page):
    """A process that no hub has made chooses its own; the page's list leads to it all the same."""
    answer = CLIENT.get(f"{page}/api/sessions/a%2Fb%20%22%C3%A9")

    assert answer.status_code == 404
    assert answer.json()["error"]["what"] == 'Neither a trace nor a session has the id `a/b "é`'


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_only_get(page, method):
    """Nothing can be changed through the page."""
    answer = CLIENT.request(method, f"{page}/prometheus/api/v1/query")

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET"


def test_only_known_parameters_go_on(page):
    """What is asked of Prometheus is what the page asks, whatever else is in the address."""
    asked = {"query": "up", "limit": "5", "token": "secret", "match[]": "x"}
    answer = CLIENT.get(f"{page}/prometheus/api/v1/query", params=asked)

    assert answer.json()["asked"] == "/api/v1/query?query=up&limit=5"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8088", "127.0.0.1.evil.example"])
def test_a_name_that_somebody_else_made_is_refused(page, host):
    """A site whose name leads here would else read what this page may read."""
    assert CLIENT.get(f"{page}/api/about", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:1234", "[::1]:80"])
def test_names_of_this_machine_are_fine(page, host):
    """With any port: it may be forwarded."""
    assert CLIENT.get(f"{page}/api/about", headers={"Host": host}).status_code == 200


def test_only_the_owner_is_answered(page):
    """With the login that a browser asks for, or as a program with the token."""
    for path in ("/", "/main.js", "/api/about", "/prometheus/api/v1/query?query=up", "/nothing"):
        nobody = httpx.get(page + path)
        assert nobody.status_code == 401
        assert nobody.headers["WWW-Authenticate"].startswith("Basic ")
        owner = httpx.get(page + path, auth=("owner", GATE.password))
        assert owner.status_code == (404 if path == "/nothing" else 200)
    for scheme, word in (
        ("Basic", ""), ("Basic", "?"), ("Basic", "b3duZXI6"), ("Basic", GATE.token),
        ("Bearer", ""), ("Bearer", GATE.password), ("Bearer", GATE.token[:-1]), ("", GATE.token),
        ("Basic", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
    ):  # fmt: skip
        given = {"Authorization": f"{scheme} {word}".strip().encode("latin-1")}
        assert httpx.get(f"{page}/api/about", headers=given).status_code == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_cannot_ask_with_the_owners_login(page, site):
    """A browser adds it to their requests, too; a link that the owner follows is fine."""
    asked = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "empty"}
    assert CLIENT.get(f"{page}/api/about", headers=asked).status_code == 403
    framed = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "iframe"}
    assert CLIENT.get(page, headers=framed).status_code == 403
    followed = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "document"}
    assert CLIENT.get(page, headers=followed).status_code == 200
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"}
    assert CLIENT.get(f"{page}/api/about", headers=own).status_code == 200


def test_answers_have_a_bound(page, monkeypatch):
    """Too long an answer is said to be so, instead of filling the memory."""
    monkeypatch.setattr(backends_http, "MAX_ANSWER", 1000)
    monkeypatch.setattr(Echo, "answer", b'"' + b"x" * 2000 + b'"')

    answer = CLIENT.get(f"{page}/prometheus/api/v1/query", params={"query": "up"})

    assert answer.status_code == 502
    assert answer.json()["error"]["hint"] == "ask for a shorter time"


def test_who_does_not_answer_is_named():
    """By name, with the address it was asked at."""
    prometheus = Api("Prometheus", "http://127.0.0.1:2")
    site = Site("test", connect("jaeger", "http://127.0.0.1:1"), prometheus, {}, GATE)
    with serving(Server(0, site)) as url:
        for path in ("sessions", "sessions/s1", f"traces/{'a' * 32}"):
            answer = CLIENT.get(f"{url}/api/{path}")
            assert answer.status_code == 502
            error = answer.json()["error"]
            assert error["what"] == "Jaeger does not answer at `http://127.0.0.1:1`"
        prometheus = CLIENT.get(f"{url}/prometheus/api/v1/query").json()["error"]

    assert prometheus["server"] == "Prometheus"


def test_it_listens_on_this_machine_only():
    """Whoever may read what users do logs in to this machine first."""
    with Server(
        0, Site("", connect("jaeger", "http://h"), Api("P", "http://h"), {}, GATE)
    ) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_joined_modules_declare_each_name_once():
    """One script of all: a name that two modules declare would end it."""
    source = joined("file.js")
    declared = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", source, re.MULTILINE)

    assert len(declared) == len(set(declared)) > 20
    assert not re.search(r"^(import|export)\b", source, re.MULTILINE)


def test_no_markup_is_made_of_text():
    """The front end has no way from a text to an element."""
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    for file in STATIC.glob("*.js"):
        assert not re.search(sinks, file.read_text()), file
