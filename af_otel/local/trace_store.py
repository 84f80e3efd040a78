"""The trace store of a local facility: Jaeger, or a Tempo that the machine already has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from af_otel.backends import jaeger, tempo
from af_otel.collector.config import merge
from af_otel.local import files, probes, servers
from af_otel.local.plan import KEYS, Service

if TYPE_CHECKING:
    from pathlib import Path

    from af_otel.backends.store import Kind
    from af_otel.local.options import TraceLimits
    from af_otel.local.plan import Plan

# Ports that each kind listens on, as `plan.USUAL` has them.
PORTS: dict[Kind, tuple[str, ...]] = {
    "jaeger": ("jaeger", "jaeger-otlp"),
    "tempo": ("tempo", "tempo-grpc", "tempo-otlp", "tempo-otlp-grpc"),
}


def find() -> servers.Server:
    """Return the store to run: a Tempo that a setting names or that is on PATH, else Jaeger.

    Raises
    ------
    ServerNotFound, ServerUnfit
        There is none, or the setting names something else.
    """
    try:
        return servers.find("tempo")
    except servers.ServerNotFound:
        return servers.find("jaeger")


def service(plan: Plan, store: servers.Server, limits: TraceLimits) -> Service:
    """Return the service of the store, which listens on loopback only."""
    return (_tempo if store.name == "tempo" else _jaeger)(plan, store, limits)


def _jaeger(plan: Plan, store: servers.Server, limits: TraceLimits) -> Service:
    directory = plan.directory("jaeger")
    return Service(
        "jaeger",
        (
            str(store.path),
            *(f"--config={files.config(name)}" for name in ("jaeger.yaml", "jaeger-keys.yaml")),
        ),
        url=plan.urls["traces"],
        port=plan.port("jaeger"),
        ready=probes.http(plan.port("jaeger"), jaeger.READY, tls=plan.tls),
        env={
            **plan.base_env(),
            **servers.JAEGER_ENV,
            KEYS: str(plan.state.keys),
            "AF_OTEL_JAEGER_HTTP": plan.address("jaeger"),
            "AF_OTEL_JAEGER_OTLP_HTTP": plan.address("jaeger-otlp"),
            "AF_OTEL_JAEGER_DATA": str(directory),
            "AF_OTEL_JAEGER_RETENTION": f"{limits.hours}h",
        },
        # It compacts its files when it stops. A kill loses nothing, so it need not be waited for.
        patience=5,
        data=directory,
        disk=limits.disk,
    )


def _tempo(plan: Plan, store: servers.Server, limits: TraceLimits) -> Service:
    return Service(
        "tempo",
        (
            str(store.path),
            f"-config.file={_tempo_config(plan)}",
            "-config.expand-env=true",
        ),
        url=plan.urls["traces"],
        port=plan.port("tempo"),
        ready=probes.http(plan.port("tempo"), tempo.READY, tls=plan.tls),
        env={
            **plan.base_env(),
            KEYS: str(plan.state.keys),
            "AF_OTEL_TEMPO_HTTP_PORT": str(plan.port("tempo")),
            "AF_OTEL_TEMPO_GRPC_PORT": str(plan.port("tempo-grpc")),
            "AF_OTEL_TEMPO_OTLP_HTTP": plan.address("tempo-otlp"),
            "AF_OTEL_TEMPO_OTLP_GRPC": plan.address("tempo-otlp-grpc"),
            "AF_OTEL_TEMPO_DATA": str(plan.directory("tempo")),
            "AF_OTEL_TEMPO_RETENTION": f"{limits.hours}h",
        },
        # All of it ends at once but the query frontend, which waits for a querier that is gone.
        patience=1.5,
    )


def _tempo_config(plan: Plan) -> Path:
    """Write the configuration: a Tempo reads one file, and knows no overlays."""
    made: dict[str, Any] = {}
    for name in ("tempo.yaml", "tempo-keys.yaml"):
        merge(made, yaml.safe_load(files.config(name).read_text(encoding="utf-8")))
    path = plan.directory("tempo") / "config.yaml"
    path.write_text(yaml.safe_dump(made), encoding="utf-8")
    return path
