"""A real JupyterHub behind its real proxy, with real single-user servers, driven as people do."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from servers import Server, free_port, program, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONFIG = Path(__file__).parent / "config" / "hub.py"
# One hub and its users' servers start within seconds, on a busy machine within a minute.
TIMEOUT = 120


@dataclass
class Hub(Server):
    url: str = ""
    token: str = ""
    culler_token: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def api(self, method: str, path: str, *, token: str = "", body: Any = None) -> httpx.Response:
        """One request to the REST API, as the service `admin` unless `token` says otherwise."""
        return httpx.request(
            method,
            f"{self.url}/hub/api/{path}",
            headers={"Authorization": f"token {token or self.token}"},
            json=body,
            timeout=TIMEOUT,
        )

    def add_user(self, name: str) -> None:
        self.api("POST", f"users/{name}").raise_for_status()

    def server(self, user: str, name: str = "") -> dict[str, Any] | None:
        """What the hub says of a user's server."""
        time.sleep(0.2)  # asked in loops: an answer costs the hub 20 ms
        servers = self.api("GET", f"users/{user}").raise_for_status().json()["servers"]
        found: dict[str, Any] | None = servers.get(name)
        return found

    def ask_for_server(
        self, user: str, name: str = "", profile: str | None = None
    ) -> httpx.Response:
        body = {"profile": profile} if profile else {}
        return self.api("POST", _path(user, name), body=body)

    def spawn(self, user: str, name: str = "", profile: str | None = None) -> int:
        """Start a server and return its process id once it serves."""
        self.ask_for_server(user, name, profile).raise_for_status()
        return self.wait_until_ready(user, name)

    def wait_until_ready(self, user: str, name: str = "") -> int:
        def ready() -> dict[str, Any] | None:
            server = self.server(user, name)
            return server if server and server["ready"] else None

        server = wait_for(ready, f"a server of {user}", TIMEOUT)
        assert server is not None
        return int(server["state"]["pid"])

    def cull(self, user: str, name: str = "") -> None:
        """Stop a server as the idle culler does."""
        path = _path(user, name)
        self.api("DELETE", path, token=self.culler_token).raise_for_status()
        self.wait_until_gone(user, name)

    def stop_server(self, browser: httpx.Client, user: str) -> None:
        """Stop a server as the button on the user's home page does."""
        page = browser.get(f"{self.url}/hub/home").raise_for_status()
        # The cookie of that path: the user's server has one of the same name.
        xsrf = re.search(r'xsrf_token: "([^"]+)"', page.text)
        assert xsrf is not None
        browser.delete(
            f"{self.url}/hub/api/users/{user}/server",
            headers={"X-XSRFToken": xsrf[1], "Referer": f"{self.url}/hub/home"},
        ).raise_for_status()
        self.wait_until_gone(user)

    def wait_until_gone(self, user: str, name: str = "") -> None:
        def gone() -> bool:
            server = self.server(user, name)
            # A named server stays listed, stopped.
            return server is None or not (server["ready"] or server["pending"])

        wait_for(gone, f"the end of a server of {user}", TIMEOUT)

    def log_in(self, user: str) -> httpx.Client:
        """Fill in the login form; the answer leads to a spawn."""
        client = httpx.Client(follow_redirects=True, timeout=TIMEOUT)
        client.get(f"{self.url}/hub/login").raise_for_status()
        client.post(
            f"{self.url}/hub/login",
            data={"username": user, "password": "pw", "_xsrf": client.cookies["_xsrf"]},
        ).raise_for_status()
        return client


def _path(user: str, name: str) -> str:
    return f"users/{user}/servers/{name}" if name else f"users/{user}/server"


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


@contextlib.contextmanager
def running_hub(
    directory: Path,
    endpoint: str,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
    *,
    cleanup_servers: bool = True,
) -> Iterator[Hub]:
    """A hub of tests/config/hub.py that sends its telemetry to `endpoint`."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = {
        "url": f"http://127.0.0.1:{free_port()}",
        "hub_url": f"http://127.0.0.1:{free_port()}",
        "proxy_api_url": f"http://127.0.0.1:{free_port()}",
        "proxy": [program("configurable-http-proxy", "AF_OTEL_PROXY")],
        "token": secrets.token_hex(16),
        "culler_token": secrets.token_hex(16),
        "cleanup_servers": cleanup_servers,
    }
    path = directory / "hub.json"
    path.write_text(json.dumps(settings))
    shutil.copyfile(CONFIG, directory / "jupyterhub_config.py")
    hub = Hub(
        name="hub",
        command=[python, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
        env={
            "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
            "HUB_SETTINGS": str(path),
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            **(env or {}),
        },
        directory=directory,
        ready_url=f"{settings['url']}/hub/api/",
        url=str(settings["url"]),
        token=str(settings["token"]),
        culler_token=str(settings["culler_token"]),
        settings=settings,
    )
    try:
        hub.start(timeout=TIMEOUT)
        yield hub
    finally:
        hub.stop()
