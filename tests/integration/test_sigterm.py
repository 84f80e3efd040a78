"""Hosts that handle SIGTERM themselves: they exit in order, and nothing of theirs is lost."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import pytest
from hubs import TIMEOUT, Hub
from jupyters import running_jupyter

from servers import free_port, program

CONFIG = """
import json, sys
from pathlib import Path
settings = json.loads(Path("hub.json").read_text())
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.bind_url = settings["url"]
c.JupyterHub.hub_bind_url = settings["hub_url"]
c.ConfigurableHTTPProxy.api_url = settings["proxy_api_url"]
c.ConfigurableHTTPProxy.command = settings["proxy"]
c.JupyterHub.services = [{"name": "admin", "api_token": settings["token"]}]
c.JupyterHub.load_roles = [
    {
        "name": "everything",
        "scopes": ["admin:users", "admin:servers", "admin:server_state"],
        "services": ["admin"],
    }
]
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.http_timeout = 120
c.Spawner.environment = {
    "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp",
    "JUPYTER_NO_CONFIG": "1",
}
c.Spawner.env_keep = settings["env_keep"]
"""


@pytest.fixture
def at_exit(payload, collector):
    """Injection under which a process sends nothing before it exits."""
    return {
        "PYTHONPATH": str(payload),
        **collector.settings,
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
        "OTEL_METRIC_EXPORT_INTERVAL": "600000",
    }


def test_a_server_and_its_kernels_send_all_they_have(collector, at_exit, tmp_path):
    """The server shuts its kernels down before it exits itself."""
    with running_jupyter(tmp_path / "server", at_exit) as server, server.kernel() as kernel:
        kernel.run("1 + 1")
        assert collector.spans() == []
        server.stop()
        assert server.process.returncode == 0
    names = {"start server", "start kernel", "execute cell", "run cell"}
    collector.wait_for_spans(lambda spans: {span["name"] for span in spans} >= names, str(names))


def test_a_hub_and_its_servers_send_all_they_have(collector, at_exit, tmp_path):
    """The hub stops its users' servers before it exits itself."""
    hub = running_hub(tmp_path / "hub", at_exit)
    hub.start(timeout=TIMEOUT)
    try:
        hub.add_user("ada")
        hub.spawn("ada")
        assert collector.spans() == []
    finally:
        hub.stop()
    names = {"spawn server", "add route", "start server"}
    collector.wait_for_spans(lambda spans: {span["name"] for span in spans} >= names, str(names))


def running_hub(directory, env):
    """A hub that is instrumented by nothing but the payload."""
    directory.mkdir()
    settings = {
        **{name: f"http://127.0.0.1:{free_port()}" for name in ("url", "hub_url", "proxy_api_url")},
        "proxy": [program("configurable-http-proxy", "AF_OTEL_PROXY")],
        "token": secrets.token_hex(16),
        "env_keep": ["PATH", "LANG", *env],
    }
    (directory / "hub.json").write_text(json.dumps(settings))
    (directory / "jupyterhub_config.py").write_text(CONFIG)
    return Hub(
        name="hub",
        command=[sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
        env={"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", **env},
        directory=directory,
        ready_url=f"{settings['url']}/hub/api/",
        grace=60,  # it stops its users' servers
        url=settings["url"],
        token=settings["token"],
    )
