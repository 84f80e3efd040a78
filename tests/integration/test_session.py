"""Whole sessions on a whole facility: what a browser does, what breaks, and what must never be
seen.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import urllib.parse

import httpx
import pytest

from af_otel.verify.kernel import Kernel
from af_otel.verify.user import User
from browser import running_browser
from servers import ROOT, wait_for

pytestmark = pytest.mark.facility


@pytest.fixture
def stored(facility):
    return facility.session


@pytest.fixture
def visit(facility):
    """Log users in and give them servers, which are stopped when the test ends."""
    users = []

    def log_in(name):
        user = User(facility.hub["url"], name, facility.hub["password"])
        users.append(user)
        user.log_in()
        user.spawn(90)
        return user

    yield log_in
    for user in users:
        user.stop_server()
        user.http.close()


@pytest.fixture
def browsing_user(facility):
    """The name of one who logs in by a browser; whose server is stopped when the test ends."""
    name = "browser"
    yield name
    with User(facility.hub["url"], name, facility.hub["password"]) as user:
        user.log_in()
        user.stop_server()


def session_id(kernel):
    """The session of a kernel, as it was told at its start."""
    carried = kernel.ask(60, baggage="__import__('os').environ.get('BAGGAGE', '')")["baggage"]
    return re.search(r"session\.id=(\w+)", carried)[1]


def session_when(stored, session, enough, what):
    """All spans of a session, once `enough` says yes to them."""

    def look():
        spans = stored(session)
        return spans if enough(spans) else None

    return wait_for(look, what, timeout=60)


def named(spans, name):
    return [span for span in spans if span.name == name and not span.pending_for]


# What each process sends for itself, so that any of it may come last.
STORY = (
    "spawn server", "start server", "start kernel", "execute cell", "run cell", "compute graph",
    "worker share",
)  # fmt: skip


def whole(spans):
    """Whether every span's parent has come, too."""
    ended = {span.span_id for span in spans if not span.pending_for}
    return all(not span.parent_id or span.parent_id in ended for span in spans)


def story_when(stored, session, enough, what):
    """All spans of a session with Dask cells, once `enough` says yes and none is on its way."""
    return session_when(
        stored, session,
        lambda spans: all(named(spans, name) for name in STORY) and whole(spans) and enough(spans),
        what,
    )  # fmt: skip


def linked(span, other):
    return any(link.span_id == other.span_id for link in span.links)


def assert_one_story(spans):
    """Parents and links of a session with Dask cells are right, across its processes."""
    (spawn,) = named(spans, "spawn server")
    (server,) = named(spans, "start server")
    assert server.parent_id == spawn.span_id
    assert server.service == "jupyter-server"
    by_id = {span.span_id: span for span in spans}
    for kernel in named(spans, "start kernel"):
        assert linked(kernel, spawn)
    for cell in named(spans, "execute cell"):
        assert not cell.parent_id
        assert linked(cell, spawn)
    for name, parent, service in (
        ("run cell", "execute cell", "jupyter-kernel"),
        ("compute graph", "run cell", "dask-scheduler"),
        ("worker share", "compute graph", "dask-worker"),
    ):
        for span in named(spans, name):
            assert by_id[span.parent_id].name == parent
            assert (span.service, span.trace_id) == (service, by_id[span.parent_id].trace_id)
    assert len({span.attributes["session.id"] for span in spans}) == 1
    assert len({span.instance for span in spans}) >= 5


@pytest.mark.browser
def test_a_browser_runs_the_example_and_its_session_is_one_story(
    facility, browsing_user, stored, tmp_path
):
    """Log in, open JupyterLab, run all cells of the notebook: all of it is stored, linked."""
    began = time.time()
    with running_browser() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"{facility.hub['url']}/hub/user-redirect/lab/tree/examples/dimuon.ipynb")
        page.fill("#username_input", browsing_user)
        page.fill("#password_input", facility.hub["password"])
        page.click("#login_submit")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        page.wait_for_selector("text=Python 3 (ipykernel) | Idle")
        page.click("#jp-MainMenu >> text=Run")
        page.click("text=Run All Cells")
        # The last cell prints the peak; its number is what the whole analysis comes to.
        page.wait_for_selector("text=/Z peak at 91\\.\\d+/")
        page.wait_for_selector("text=Python 3 (ipykernel) | Idle")
        page.screenshot(path=tmp_path / "notebook.png")
        assert page.locator(".jp-OutputArea-output img").count() >= 1
        assert page.locator(".jp-RenderedText[data-mime-type*=stderr]").count() == 0

    spawned = wait_for(
        lambda: facility.store.spans("jupyterhub", "spawn server", start=began),
        "the spawn",
        timeout=60,
    )
    session = spawned[-1].session
    cells = len(
        [
            c
            for c in json.loads((ROOT / "examples" / "dimuon.ipynb").read_text())["cells"]
            if c["cell_type"] == "code"
        ]
    )
    spans = story_when(
        stored, session, lambda spans: len(named(spans, "run cell")) == cells, f"{cells} cells"
    )
    assert_one_story(spans)


def test_two_users_at_once_are_two_sessions(visit, stored):
    """Their cells, computed at the same time on the same Dask, are told apart."""
    sessions = {}

    def work(name):
        user = visit(name)
        with Kernel(user, "Untitled.ipynb", "python3") as kernel:
            sessions[name] = session_id(kernel)
            outcome = kernel.run(
                "from distributed import Client\n"
                "with Client() as client:\n"
                f"    print(client.submit(sum, range({len(name)}), pure=False).result())",
                60,
            )
            assert outcome.status == "ok", outcome.error
            kernel.shut_down()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ann", "robert")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(sessions.values())) == 2
    for session in sessions.values():
        spans = story_when(stored, session, bool, "both computations")
        assert_one_story(spans)
        assert len({span.attributes["user.hash"] for span in spans}) == 1


SCRIPT = """
from distributed import Client
from opentelemetry import trace
client = Client()
with trace.get_tracer("user").start_as_current_span("my analysis"):
    print(client.submit(sum, range(4), pure=False).result())
"""


def test_a_script_in_a_terminal_belongs_to_its_session(visit, stored):
    """What a cell starts with `!` is in the session, and not in the trace of the kernel's start."""
    user = visit("script")
    with Kernel(user, "Untitled.ipynb", "python3") as kernel:
        session = session_id(kernel)
        assert kernel.run(f"import pathlib; pathlib.Path('a.py').write_text({SCRIPT!r})", 60)
        outcome = kernel.run("!python a.py", 60)
        assert outcome.text.split() == ["6"]
        kernel.shut_down()
    spans = session_when(
        stored, session,
        lambda spans: named(spans, "worker share") and whole(spans), "the script's computation",
    )  # fmt: skip
    (analysis,) = named(spans, "my analysis")
    (graph,) = named(spans, "compute graph")
    assert not analysis.parent_id
    assert analysis.service == "dask-client"
    assert graph.parent_id == analysis.span_id
    assert "start kernel" not in {s.name for s in spans if s.trace_id == analysis.trace_id}


SLOW = """
import time
from distributed import Client
def slow(n):
    time.sleep(0.2)
    return n * n
with Client() as client:
    print(sum(client.gather(client.map(slow, range(20), pure=False))))
"""


def test_a_notebook_does_not_notice_that_the_collector_is_killed(facility, visit, stored):
    """Same results, no word in the output; when the Collector is back, later spans arrive."""
    user = visit("nocollector")
    with Kernel(user, "Untitled.ipynb", "python3") as kernel:
        session = session_id(kernel)
        assert kernel.run(SLOW, 60).text == "2470\n"
        os.kill(facility.pid("collector"), signal.SIGKILL)
        for _ in range(3):
            outcome = kernel.run(SLOW, 60)
            assert (outcome.status, outcome.text) == ("ok", "2470\n")
        assert facility.command("up").returncode == 0  # starts what has died

        def later_spans_arrive():
            kernel.run("'later'", 60)
            spans = stored(session)
            counts = {
                s.attributes.get("jupyter.cell.execution_count") for s in named(spans, "run cell")
            }
            return any(count and count >= 5 for count in counts)

        wait_for(later_spans_arrive, "spans after the Collector's return", timeout=90)
        kernel.shut_down()


def test_the_last_cell_of_a_killed_kernel_is_seen(visit, stored):
    """`kill -9` leaves no time for a word; the trace shows the cell as what was open, and why it
    ended.
    """
    user = visit("killed")
    with Kernel(user, "Untitled.ipynb", "python3") as kernel:
        session = session_id(kernel)
        pid = int(kernel.ask(60, pid="__import__('os').getpid()")["pid"])
        stopped = threading.Thread(target=lambda: _ignore(kernel, "import time; time.sleep(600)"))
        stopped.start()
        session_when(
            stored, session,
            lambda spans: any(s.pending_for and s.name == "run cell" for s in spans), "the cell",
        )  # fmt: skip
        os.kill(pid, signal.SIGKILL)
        spans = session_when(
            stored, session, lambda spans: named(spans, "execute cell"), "the end of the cell"
        )
        (cell,) = named(spans, "execute cell")
        assert cell.attributes["jupyter.cell.status"] == "died"
        assert cell.status == "error"
        (marker,) = [s for s in spans if s.pending_for and s.name == "run cell"]
        assert (marker.parent_id, marker.trace_id) == (cell.span_id, cell.trace_id)
        assert not named(spans, "run cell")
        died = session_when(
            stored, session, lambda spans: named(spans, "kernel died"), "the kernel's death"
        )
        (death,) = named(died, "kernel died")
        assert death.attributes["jupyter.kernel.exit_code"] == -9
        user.stop_server()
        stopped.join()


def _ignore(kernel, code):
    try:
        kernel.run(code, 900)
    except Exception as error:  # the connection ends with the server
        print(error)


CANARIES = {
    "token": "canarytoken4f1d", "cookie": "canarycookie93ab", "code": "canarycode77e0",
    "state": "canarystate12cc", "source": "canarysource5d5e", "text": "canarytext8b8b",
    "output": "canaryoutput3a3a", "span": "canaryspan6c6c", "path": "canarypath0e0e",
    "key": "canarykey2b2b",
}  # fmt: skip

LEAKY = f"""
# {CANARIES["source"]}
from opentelemetry import trace
secret = "{CANARIES["source"]}"
print("{CANARIES["output"]}")
tracer = trace.get_tracer("user")
with tracer.start_as_current_span("user work") as span:
    span.set_attribute("url.full", "http://x/?token={CANARIES["span"]}&code={CANARIES["code"]}")
    span.set_attribute("http.request.header.cookie", "{CANARIES["cookie"]}")
    span.set_attribute("note", "Authorization: Bearer {CANARIES["token"]}")
    raise ValueError("{CANARIES["text"]}")
"""


def test_no_secret_is_stored_anywhere(facility, visit, stored):
    """Canaries in tokens, cookies, OAuth codes, cells, outputs and exceptions are in no answer and
    no file.
    """
    user = visit("canary")
    # As a script would come: a token in the query, a token in a header; and an OAuth answer gone
    # astray.
    for path, headers in (
        (f"/hub/api/user?token={CANARIES['token']}", {}),
        ("/hub/api/user", {"Authorization": f"token {CANARIES['token']}"}),
        ("/hub/api/user", {"Cookie": f"jupyterhub-session-id={CANARIES['cookie']}"}),
        (f"/user/canary/oauth_callback?code={CANARIES['code']}&state={CANARIES['state']}", {}),
        (f"/hub/oauth_callback?code={CANARIES['code']}&state={CANARIES['state']}", {}),
        (f"/user/canary/api/contents?token={CANARIES['token']}", {}),
    ):
        httpx.get(facility.hub["url"] + path, headers=headers, follow_redirects=False)
    with Kernel(user, f"{CANARIES['path']}.ipynb", "python3") as kernel:
        session = session_id(kernel)
        outcome = kernel.run(LEAKY, 60)
        assert CANARIES["output"] in outcome.text
        assert CANARIES["text"] in outcome.error
        dask = (
            "from distributed import Client\n"
            f"def {CANARIES['source']}x(n): raise ValueError('{CANARIES['text']}')\n"
            "with Client() as client: client.submit(lambda n: n, 1).result();"
            f" client.submit(lambda n, k: k, 1, '{CANARIES['key']}', key='k-1').result()"
        )
        assert kernel.run(dask, 60).status == "ok"
        kernel.shut_down()
    secrets = {*CANARIES.values(), *user_secrets(user)}
    session_when(stored, session, lambda spans: named(spans, "user work"), "the user's own span")
    session_when(stored, session, lambda spans: named(spans, "worker share"), "the computation")

    for where, text in everything_stored(facility):
        for secret in secrets:
            assert secret not in text, f"a secret is stored: {secret} in {where}"
            assert urllib.parse.quote(secret, safe="") not in text


def user_secrets(user):
    """What the browser and the server of this user hold: cookies, XSRF values."""
    return {
        cookie.value for cookie in user.http.cookies.jar if cookie.value and len(cookie.value) > 8
    }


def jaeger_answers(jaeger, http):
    """Every trace and operation of every service."""
    services = http.get(f"{jaeger}/api/v3/services", timeout=30).json()["services"]
    assert services
    for service in services:
        for path, asked in (
            ("/api/traces", {"service": service, "limit": 10_000, "raw": "true"}),
            ("/api/v3/operations", {"service": service}),
        ):
            answer = http.get(jaeger + path, params=asked, timeout=60)
            assert answer.is_success
            yield f"{path} {asked}", answer.text


def tempo_answers(tempo, http):
    """Every trace, and every value of every attribute."""
    found = http.get(f"{tempo}/api/search", params={"q": "{}", "limit": 1000}, timeout=30)
    assert found.json()["traces"]
    for trace in found.json()["traces"]:
        url = f"{tempo}/api/traces/{trace['traceID']}"
        yield url, http.get(url, timeout=30).text
    for tag in http.get(f"{tempo}/api/v2/search/tags", timeout=30).json()["scopes"]:
        for name in tag.get("tags", ()):
            url = f"{tempo}/api/v2/search/tag/{tag['name']}.{name}/values"
            yield url, http.get(url, timeout=30).text


def everything_stored(facility):
    """All that the trace store and Prometheus answer, and the Collector's files."""
    yield from (tempo_answers if facility.info["trace_store"] == "tempo" else jaeger_answers)(
        facility.urls["traces"], facility.http
    )
    prometheus = facility.urls["prometheus"]
    for query in ("series?match[]={__name__!=''}", "metadata", "labels",
                  "query_exemplars?query={__name__!=''}&start=0&end=9999999999"):  # fmt: skip
        url = f"{prometheus}/api/v1/{query}"
        answer = facility.http.get(url)
        assert answer.json()["status"] == "success"
        yield url, answer.text
    files = list((facility.state / "collector").rglob("*.jsonl"))
    assert files
    for file in files:
        yield str(file), file.read_text()


def test_metrics_count_what_was_done(facility, visit):
    """Spawns, cells and tasks are in Prometheus under their names, with units and no user or
    session.
    """
    prometheus = facility.prometheus
    cells = "sum(jupyter_cell_duration_seconds_count)"
    before = prometheus.total(cells)
    user = visit("counted")
    with Kernel(user, "Untitled.ipynb", "python3") as kernel:
        for _ in range(3):
            kernel.run("1 + 1", 60)
        kernel.run("1 / 0", 60)
        kernel.shut_down()
    for query, least in (
        (cells, before + 4),
        ('sum(jupyter_cell_duration_seconds_count{jupyter_cell_status="error"})', 1),
        ('sum(jupyterhub_spawn_duration_seconds_count{jupyterhub_spawn_outcome="ok"})', 1),
    ):
        wait_for(lambda: prometheus.total(query) >= least, query, timeout=60)  # noqa: B023
    series = facility.http.get(
        f"{facility.urls['prometheus']}/api/v1/series",
        params={"match[]": '{job=~".*/jupyter.*|.*/dask.*"}'},
    ).json()["data"]
    assert series
    for labels in series:
        assert not {"session_id", "user_hash"} & set(labels)
        assert "counted" not in json.dumps(labels)
