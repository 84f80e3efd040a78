"""Configure the local facility's JupyterHub, from inside it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from af_otel.local.plan import HASH_KEY
from af_otel.local.ports import HOST

KEPT = ("OTEL_", "AF_OTEL_", "DASK_")  # What users' servers, and so kernels, get from the hub.
SETTINGS = "AF_OTEL_LOCAL_HUB"  # What `configure` reads, as JSON.
# A new user's first sight is the notebook, not a question about news.
PAGE_CONFIG = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


def configure(c: Any) -> None:
    """Everything on this machine's loopback, users' homes and secrets in the state directory."""
    local = json.loads(os.environ[SETTINGS])
    from jupyterhub.utils import random_port

    directory = Path(local["directory"])

    c.JupyterHub.bind_url = local["bind_url"]
    c.JupyterHub.hub_bind_url = local["hub_bind_url"]
    c.ConfigurableHTTPProxy.api_url = local["proxy_api_url"]
    c.ConfigurableHTTPProxy.command = [local["proxy"]]
    c.ConfigurableHTTPProxy.pid_file = str(directory / "proxy.pid")
    c.JupyterHub.db_url = f"sqlite:///{directory / 'jupyterhub.sqlite'}"
    c.JupyterHub.cookie_secret_file = str(directory / "cookie_secret")
    # The Collector reads the hub's own metrics, and may do nothing else.
    token = Path(local["token_file"]).read_text(encoding="utf-8")
    c.JupyterHub.services = [{"name": "metrics", "api_token": token}]
    c.JupyterHub.load_roles = [
        {"name": "metrics", "scopes": ["read:metrics"], "services": ["metrics"]}
    ]

    c.JupyterHub.authenticator_class = "dummy"
    c.DummyAuthenticator.password = Path(local["password_file"]).read_text(encoding="utf-8").strip()
    c.Authenticator.allow_all = True
    # A name becomes a directory's.
    c.Authenticator.username_pattern = r"^[a-z0-9][a-z0-9._-]{0,31}$"

    c.JupyterHub.spawner_class = "simple"
    home = local["home"].replace("{", "{{").replace("}", "}}")
    c.SimpleLocalProcessSpawner.home_dir_template = f"{home}/{{username}}"
    c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
    # A server refuses root without it; containers, where people try things, often are root.
    c.Spawner.args = ["--allow-root"] if os.geteuid() == 0 else []
    c.Spawner.args += [
        "--ServerApp.jpserver_extensions=af_otel.local.server_metrics=True",
        # Over TCP, everybody on the machine could read what a kernel prints.
        "--KernelManager.transport=ipc",
    ]
    # Where their sockets are.
    c.Spawner.environment = {
        "JUPYTER_RUNTIME_DIR": lambda spawner: str(Path(local["sockets"]) / spawner.user.name)
    }
    c.Spawner.default_url = "/lab"
    c.Spawner.env_keep = [
        *("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "LD_LIBRARY_PATH"),
        *("NO_PROXY", "no_proxy"),
        *(key for key in os.environ if key.startswith(KEPT) and key not in {SETTINGS, HASH_KEY}),
    ]
    # A server that does not end in time must not hold up the end of the facility.
    c.LocalProcessSpawner.interrupt_timeout = 4
    c.LocalProcessSpawner.term_timeout = 2
    c.LocalProcessSpawner.kill_timeout = 1

    examples = Path(local["examples"])
    targets = Path(local["targets"])

    def before(spawner: Any) -> None:
        furnish(Path(spawner.home_dir), examples)
        spawner.port = random_port()
        announce(targets, spawner)

    c.Spawner.pre_spawn_hook = before
    c.Spawner.post_stop_hook = lambda spawner: _target(targets, spawner).unlink(missing_ok=True)


def announce(targets: Path, spawner: Any) -> None:
    """Tell the Collector where the metrics of a user's server are."""
    target = {
        "targets": [f"{HOST}:{spawner.port}"],
        "labels": {
            "job": "jupyter-server",
            "__metrics_path__": f"{spawner.server.base_url}metrics",
        },
    }
    _target(targets, spawner).write_text(json.dumps([target]), encoding="utf-8")


def _target(targets: Path, spawner: Any) -> Path:
    return targets / f"{spawner.user.name}.json"


def furnish(home: Path, examples: Path) -> None:
    """Put the examples into a user's home; what is there already is the user's."""
    target = home / "examples"
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted(examples.iterdir()):
        if source.is_file() and not (target / source.name).exists():
            shutil.copyfile(source, target / source.name)
    page_config = home / ".jupyter" / "labconfig" / "page_config.json"
    with contextlib.suppress(FileExistsError):
        page_config.parent.mkdir(parents=True, exist_ok=True)
        with page_config.open("x", encoding="utf-8") as file:
            json.dump(PAGE_CONFIG, file)
