"""A local facility answers its owner, and neither other users of the machine nor web pages.

The ports are those on which its processes really listen, so that a new one is tried as well.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import intruder
import psutil
import pytest
from intruder import NAME, SECRET

from af_otel.local import processes
from af_otel.local.state import State
from af_otel.verify.kernel import Kernel
from af_otel.verify.user import User
from browser import running_browser
from servers import ROOT, serving, wait_for

pytestmark = pytest.mark.facility

USER = "owner"
PRINT = f"""
import time
from opentelemetry import trace
with trace.get_tracer('user').start_as_current_span('{SECRET}'):
    for number in range(3000):
        print('{SECRET}', number, flush=True)
        time.sleep(0.1)
"""
# What the hub and a user's server show to everybody: a login form, their health and their version.
PUBLIC = {"/", "/health", "/hub/health", "/hub/api", "/hub/login", f"/user/{USER}/api"}


@pytest.fixture(scope="module")
def busy(facility):
    """A facility whose owner has a server and a kernel that prints a secret all the time."""
    user = User(facility.hub["url"], USER, facility.hub["password"])
    user.log_in()
    user.spawn(90)
    with Kernel(user, "Untitled.ipynb", "python3") as kernel:
        printing = threading.Thread(target=lambda: stopped(kernel), daemon=True)
        printing.start()
        wait_for(lambda: SECRET in "".join(said(facility)), "the secret in the store", 60)
        yield facility
    user.stop_server()
    user.http.close()


def stopped(kernel):
    with contextlib.suppress(Exception):  # the server is stopped while it prints
        kernel.run(PRINT, 600)


def said(facility):
    """The names of all spans that the Collector let out, open ones among them."""
    return [json.dumps(line) for line in facility.spans_file.read_text().splitlines()]


def listeners(facility):
    """The ports on which its processes listen, each with the command line of who does."""
    found = {}
    for process in processes.find(str(facility.state)):
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found[connection.laddr.port] = " ".join(process.cmdline())
    return found


def test_all_ports_are_found(busy):
    """Also those of a user's server and of a kernel, which the facility does not name."""
    found = listeners(busy)
    named = {service["port"] for service in busy.info["services"].values()}
    assert named < set(found)
    assert any("jupyterhub.singleuser" in command for command in found.values())
    assert len(found) >= 18


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_gets_nothing(busy):
    """Not over any port or protocol, nor from a file, a socket or a command line."""
    ports = listeners(busy)
    sockets = State(busy.state).directory / "sockets"
    task = {
        "ports": sorted(ports),
        "user": USER,
        "files": [
            *map(str, (busy.state, sockets, *sockets.resolve().rglob("*"))),
            *map(str, busy.state.rglob("*")),
            *(f"/proc/{process.pid}/environ" for process in processes.find(str(busy.state))),
        ],
    }
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "intruder.py"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert {one["port"] for one in found} >= set(ports)

    served = [one for one in found if "status" in one]
    wrong = [
        (
            one["port"],
            ports.get(one["port"], "")[:60],
            one["attempt"],
            one["status"],
            one["text"][:200],
        )
        for one in served
        if SECRET in one["text"] or (200 <= one["status"] < 300 and not is_public(one, ports))
    ]
    assert not wrong, "\n".join(map(str, wrong))
    nothing_was_done(busy)

    secrets = [busy.hub["password"], busy.login[1], *(path.read_text() for path in keys(busy))]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            assert not [one for one in secrets if len(one) > 10 and one in line], process


def keys(facility):
    return [path for path in Path(facility.info["keys"]).iterdir() if path.name != "curl"]


def is_public(answer, ports):
    """Whether it is what the hub or a user's server answers to everybody."""
    path = urlsplit(answer["attempt"].rpartition(" ")[2]).path
    command = ports.get(answer["port"], "")
    asks = ("jupyterhub", "configurable-http-proxy", "grafana")
    return any(name in command for name in asks) and path in PUBLIC


def nothing_was_done(facility):
    """Nothing of the intruder's is stored, and all services run on."""
    assert not Path("/tmp/intruder-was-here").exists()
    time.sleep(3)  # what was accepted would be stored by then
    assert facility.prometheus.query(f'{{__name__=~".*{NAME}.*"}}') == []
    assert NAME not in facility.http.get(f"{facility.urls['traces']}/api/v3/services").text
    assert NAME not in "".join(said(facility))
    status = facility.command("status", "--json")
    assert status.returncode == 0, status.stderr
    answer = httpx.get(f"{facility.hub['url']}/hub/api/users/{NAME}")
    assert answer.status_code == 403


TRY = """
async ({ports, gets, posts}) => {
    const found = [];
    const ask = async (port, scheme, path, given) => {
        const url = `${scheme}://127.0.0.1:${port}${path}`;
        try {
            const signal = AbortSignal.timeout(2000);
            const answer = await fetch(url, {credentials: "include", ...given, signal});
            if (answer.type !== "opaque")
                found.push([url, answer.status, (await answer.text()).slice(0, 200)]);
        } catch { /* nothing to be read */ }
    };
    const listen = (port, path) => new Promise(resolve => {
        const url = `ws://127.0.0.1:${port}${path}`;
        try {
            const socket = new WebSocket(url);
            const end = () => { socket.close(); resolve(); };
            socket.onopen = () => { found.push([url, "open", ""]); end(); };
            socket.onerror = socket.onclose = end;
            setTimeout(end, 2000);
        } catch { resolve(); }
    });
    for (const port of ports) {
        const all = [];
        for (const path of gets)
            for (const scheme of ["http", "https"]) {
                all.push(ask(port, scheme, path, {}));
                // For answers that are open to everybody.
                all.push(ask(port, scheme, path, {credentials: "omit"}));
                all.push(ask(port, scheme, path, {mode: "no-cors"}));
            }
        for (const [path, kind, body] of posts) {
            const bytes = Uint8Array.from(atob(body), letter => letter.charCodeAt(0));
            const given = {method: "POST", body: kind ? new Blob([bytes], {type: kind}) : bytes};
            for (const scheme of ["http", "https"]) {
                all.push(ask(port, scheme, path, given));
                all.push(ask(port, scheme, path, {...given, mode: "no-cors"}));
            }
        }
        for (const path of ["/", "/status/ws", "/ws", "/api/events/subscribe"])
            all.push(listen(port, path));
        await Promise.all(all);
    }
    return found;
}
"""


class Page(http.server.BaseHTTPRequestHandler):
    """The web page of somebody who means no good."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>evil</title>")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def browser():
    """A browser for which every name under `.test` leads to this machine."""
    with running_browser("--host-resolver-rules=MAP *.test 127.0.0.1") as running:
        yield running


@pytest.fixture
def visited(busy, browser):
    """A browser in which the owner has opened all that can be opened."""
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    user, password = busy.login
    for key in ("page", "dask_dashboard"):
        page.goto(busy.urls[key].replace("http://", f"http://{user}:{password}@"))
        assert "af-otel" in page.content() or "Dask" in page.title()
    page.goto(f"{busy.hub['url']}/hub/login")
    page.fill("#username_input", USER)
    page.fill("#password_input", busy.hub["password"])
    page.click("#login_submit")
    page.wait_for_url(f"**/user/{USER}/lab**", timeout=60_000)
    yield context
    context.close()


@pytest.mark.browser
def test_a_web_page_gets_nothing(busy, visited):
    """It reads no answer, opens no websocket, and changes nothing with the owner's logins."""
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)) as url:
        port = urlsplit(url).port
        page = visited.new_page()
        page.set_default_timeout(200_000)
        page.goto(f"http://evil.test:{port}/")
        assert page.title() == "evil"
        found = page.evaluate(
            TRY,
            {
                "ports": sorted(listeners(busy)),
                "gets": intruder.gets(USER),
                "posts": [
                    (path, kind, base64.b64encode(body).decode())
                    for path, kind, body in intruder.posts(USER)
                ],
            },
        )
    assert not found, found
    nothing_was_done(busy)


@pytest.mark.browser
def test_a_name_that_leads_here_is_refused(busy, visited):
    """A page whose name is made to lead to this machine would be of the same origin."""
    page = visited.new_page()
    ports = listeners(busy)
    for port, command in ports.items():
        with contextlib.suppress(Exception):  # most speak TLS, or no HTTP
            page.goto(f"http://rebound.test:{port}/api/about", timeout=3000)
            text = page.evaluate(
                """async paths => {
                    const texts = [];
                    for (const path of paths) {
                        const answer = await fetch(path);
                        const text = (await answer.text()).slice(0, 100);
                        if (answer.ok) texts.push(`${path} ${answer.url} ${text}`);
                    }
                    return texts;
                }""",
                [path for path in intruder.gets(USER) if path not in PUBLIC],
            )
            text = [one for one in text if "/hub/login" not in one]
            assert not text, (port, command, text)
