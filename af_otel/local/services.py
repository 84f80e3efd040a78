"""What a facility is made of: each service's command, address, readiness and order."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel.collector import config as collector
from af_otel.errors import AfOtelError
from af_otel.local import files, grafana, probes, servers, trace_store
from af_otel.local.hub import SETTINGS
from af_otel.local.keys import Keys
from af_otel.local.options import TraceLimits
from af_otel.local.plan import HASH_KEY, KEYS, USER, USUAL, Plan, Service
from af_otel.local.ports import HOST, Ports
from af_otel.page.gate import token_file

if TYPE_CHECKING:
    from af_otel.local.state import State

WORKERS = ("dask-worker-1", "dask-worker-2")
WORKER_MEMORY = "1GiB"
GATED = ("--preload", "af_otel.local.dask_gate")
WEBSOCKET_ORIGINS = (
    "DASK_DISTRIBUTED__SCHEDULER__DASHBOARD__BOKEH_APPLICATION__ALLOW_WEBSOCKET_ORIGIN"
)


def plan(state: State, ports: Ports, injected: Path, limits: TraceLimits | None = None) -> Plan:
    """Find the servers and choose the ports of a facility; `limits` are those of its traces."""
    _require("jupyterhub", "jupyterlab", "ipykernel", "distributed", "bokeh")
    unknown = [name for name in ports.wanted if name not in USUAL]
    if unknown:
        raise AfOtelError(
            f"Nothing listens on a port named `{unknown[0]}`",
            where=f"`--port {unknown[0]}={ports.wanted[unknown[0]]}`",
            hint="one of " + ", ".join(f"`{name}`" for name in USUAL),
        )
    made = Plan(state, ports, injected, Keys.make(state.keys, USER))
    found = grafana.find()
    store = trace_store.find()
    unused = [
        port for kind, used in trace_store.PORTS.items() if kind != store.name for port in used
    ]
    made.choose_ports(without=[*unused, *(() if found else ("grafana",))])
    _telemetry(made, store, limits or TraceLimits())
    _dask(made)
    _hub(made)
    if found is None:
        made.notes.append("Grafana is left out: it is neither on PATH nor named by AF_OTEL_GRAFANA")
    else:
        _grafana(made, found)
    _page(made)
    return made


def _require(*modules: str) -> None:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise AfOtelError(
            "These packages are missing: " + ", ".join(f"`{module}`" for module in missing),
            where=f"`{sys.executable}`",
            hint="run `pip install 'af-otel[local]'` there",
        )


def _telemetry(made: Plan, store: servers.Server, limits: TraceLimits) -> None:
    made.trace_store = store.name
    made.urls |= {
        "collector_otlp": f"https://{made.address('collector')}",
        "prometheus": f"https://{made.address('prometheus')}",
        "traces": f"https://{made.address(store.name)}",
    }
    config = files.collector_config()
    made.services += [
        Service(
            "collector",
            (
                str(servers.find("collector").path),
                *("--config", str(config / "base.yaml")),
                *("--config", str(config / "local.yaml")),
                *("--config", str(files.config("collector-keys.yaml"))),
                collector.FLAGS,
            ),
            url=made.urls["collector_otlp"],
            port=made.port("collector"),
            ready=probes.http(made.port("collector-health"), "/", tls=made.tls),
            env={
                **made.base_env(),
                KEYS: str(made.state.keys),
                **servers.COLLECTOR_ENV,
                "AF_OTEL_OTLP_HTTP": made.address("collector"),
                "AF_OTEL_OTLP_GRPC": made.address("collector-grpc"),
                "AF_OTEL_HEALTH": made.address("collector-health"),
                "AF_OTEL_SELF_OTLP": made.address("collector-self"),
                "AF_OTEL_SPANS_FILE": str(made.state.spans_file),
                "AF_OTEL_QUEUE_DIR": str(made.directory("collector") / "queue"),
                "AF_OTEL_TRACES_OTLP": f"https://{made.address(f'{store.name}-otlp')}",
                "AF_OTEL_PROMETHEUS_WRITE": f"{made.urls['prometheus']}/api/v1/write",
                "AF_OTEL_FACILITY": made.state.name,
                "AF_OTEL_SCRAPE_TARGETS": str(_targets(made) / "*.json"),
                "AF_OTEL_SCRAPE_TOKEN": str(token_file(made.state.keys)),
            },
            feeds=("prometheus", store.name),
        ),
        Service(
            "prometheus",
            (
                str(servers.find("prometheus").path),
                f"--config.file={files.config('prometheus.yaml')}",
                f"--storage.tsdb.path={made.directory('prometheus') / 'data'}",
                f"--web.listen-address={made.address('prometheus')}",
                f"--web.config.file={_prometheus_keys(made)}",
                *servers.PROMETHEUS_FLAGS,
            ),
            url=made.urls["prometheus"],
            port=made.port("prometheus"),
            ready=probes.http(made.port("prometheus"), "/-/ready", tls=made.tls),
            env=made.base_env(),
        ),
        trace_store.service(made, store, limits),
    ]


def _prometheus_keys(made: Plan) -> Path:
    """Put Prometheus' web configuration beside the keys that it names."""
    return Path(shutil.copyfile(files.config("prometheus-keys.yaml"), made.state.keys / "web.yaml"))


def _targets(made: Plan) -> Path:
    """Where the Collector is told what to scrape; the hub adds a file for each user's server."""
    directory = made.directory("collector") / "targets"
    shutil.rmtree(directory, ignore_errors=True)  # of servers that ended with an earlier hub
    directory.mkdir()
    jobs = (
        ("jupyterhub", "hub", "/hub/metrics"),
        ("dask-scheduler", "dask-dashboard", "/metrics"),
        *(("dask-worker", f"{name}-metrics", "/metrics") for name in WORKERS),
    )
    targets = [
        {"targets": [made.address(port)], "labels": {"job": job, "__metrics_path__": path}}
        for job, port, path in jobs
    ]
    (directory / "facility.json").write_text(json.dumps(targets), encoding="utf-8")
    return directory


def _dask(made: Plan) -> None:
    made.urls |= {
        "dask_scheduler": f"tls://{made.address('dask-scheduler')}",
        "dask_dashboard": f"http://{made.address('dask-dashboard')}/status",
    }
    dashboard = made.port("dask-dashboard")
    origins = [f"{host}:{dashboard}" for host in (HOST, "localhost")]
    scratch = made.directory("dask")
    _dask_config(made)
    made.services.append(
        Service(
            "dask-scheduler",
            (
                *(sys.executable, "-m", "dask", "scheduler"),
                *("--protocol", "tls", "--host", HOST),
                *("--port", str(made.port("dask-scheduler"))),
                *("--dashboard-address", made.address("dask-dashboard")),
                *GATED,
            ),
            url=made.urls["dask_scheduler"],
            port=made.port("dask-scheduler"),
            ready=probes.http(dashboard, "/health", headers=made.keys.gate.headers),
            env={**made.python_env(), WEBSOCKET_ORIGINS: json.dumps(origins)},
            needs=("collector",),
        )
    )
    for name in WORKERS:
        made.services.append(
            Service(
                name,
                (
                    *(sys.executable, "-m", "dask", "worker", made.urls["dask_scheduler"]),
                    *("--name", name, "--nthreads", "1", "--memory-limit", WORKER_MEMORY),
                    *("--host", HOST, "--worker-port", str(made.port(name))),
                    # Without a dashboard there are metrics all the same.
                    *("--no-dashboard", "--dashboard-address", made.address(f"{name}-metrics")),
                    *("--local-directory", str(scratch)),
                    *GATED,
                ),
                url=f"tls://{made.address(name)}",
                port=made.port(name),
                # Ready is what the scheduler counts on, not what listens.
                ready=probes.http(
                    dashboard,
                    "/json/identity.json",
                    contains=f'"{name}"',
                    headers=made.keys.gate.headers,
                ),
                env=made.python_env(),
                needs=("dask-scheduler",),
            )
        )


def _dask_config(made: Plan) -> None:
    """Let the facility's own Dask, and every `Client()` in a kernel, use its certificate.

    Clusters that users start themselves stay as they are: encryption is not required of them.
    """
    pair = {"cert": str(made.keys.certificates.certificate), "key": str(made.keys.certificates.key)}
    roles = dict.fromkeys(("scheduler", "worker", "client"), pair)
    tls = {"ca-file": str(made.keys.certificates.authority), **roles}
    directory = made.dask_config
    directory.mkdir(mode=0o700, exist_ok=True)
    # YAML includes JSON.
    content = {"distributed": {"comm": {"tls": tls}}}
    (directory / "af-otel.yaml").write_text(json.dumps(content, indent=1), encoding="utf-8")


def _hub(made: Plan) -> None:
    made.urls["hub"] = f"http://{made.address('hub')}"
    settings = {
        "bind_url": made.urls["hub"],
        "hub_bind_url": f"http://{made.address('hub-api')}",
        "proxy_api_url": f"http://{made.address('hub-proxy')}",
        "proxy": str(servers.find("configurable-http-proxy").path),
        "directory": str(made.directory("jupyterhub")),
        "home": str(made.state.home),
        "examples": str(files.examples()),
        "targets": str(made.directory("collector") / "targets"),
        "password_file": str(made.state.password_file),
        "token_file": str(token_file(made.state.keys)),
        "sockets": str(made.state.sockets()),
    }
    made.services.append(
        Service(
            "jupyterhub",
            (sys.executable, "-m", "jupyterhub", "-f", str(files.config("jupyterhub_config.py"))),
            url=made.urls["hub"],
            port=made.port("hub"),
            ready=probes.http(made.port("hub"), "/hub/health"),
            env={
                **made.python_env(),
                **{key: value for key, value in os.environ.items() if key == HASH_KEY},
                "DASK_SCHEDULER_ADDRESS": made.urls["dask_scheduler"],
                SETTINGS: json.dumps(settings),
            },
            needs=("collector",),
            patience=12,  # It stops its users' servers and kernels first, then its proxy.
        )
    )


def _grafana(made: Plan, found: grafana.Grafana) -> None:
    made.urls["grafana"] = f"http://{made.address('grafana')}"
    directory = made.directory("grafana")
    made.services.append(
        Service(
            "grafana",
            found.command(
                directory,
                {
                    "prometheus": made.urls["prometheus"],
                    made.trace_store: made.urls["traces"],
                },
                made.keys.certificates,
            ),
            url=made.urls["grafana"],
            port=made.port("grafana"),
            ready=probes.http(made.port("grafana"), "/api/health"),
            env={**made.base_env(), **found.env(directory, made.port("grafana"), made.hub)},
        )
    )


def _page(made: Plan) -> None:
    """Add what shows the sessions in a browser; it runs also while the servers it asks do not."""
    made.urls["page"] = f"http://{made.address('page')}"
    elsewhere = (("JupyterHub", "hub"), ("Grafana", "grafana"), ("Dask", "dask_dashboard"))
    links = [f"{title}={made.urls[key]}" for title, key in elsewhere if key in made.urls]
    made.services.append(
        Service(
            "page",
            (
                *(sys.executable, "-m", "af_otel.page", "--port", str(made.port("page"))),
                *("--store", f"{made.trace_store}={made.urls['traces']}"),
                *("--prometheus", made.urls["prometheus"]),
                *("--keys", str(made.state.keys)),
                *("--facility", made.state.name),
                *(word for link in links for word in ("--link", link)),
            ),
            url=made.urls["page"],
            port=made.port("page"),
            ready=probes.http(made.port("page"), "/", headers=made.keys.gate.headers),
            env=made.base_env(),
        )
    )
