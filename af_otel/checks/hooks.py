"""Facilities own KubeSpawner's hooks: ours run around them and never replace one, whatever the
order in which configuration is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.checks._registry import check
from af_otel.checks.finding import Finding, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context

_HOOKS = {
    "pre_spawn_hook",
    "post_stop_hook",
    "modify_pod_hook",
    "after_pod_created_hook",
    "auth_state_hook",
    "progress_ready_hook",
}
# What tells the Collector whose a pod is, and how the interpreter finds us.
_OUR_ANNOTATIONS = ("af-otel.io/session-id", "af-otel.io/user-hash")
_OUR_VARIABLES = {
    "PYTHONPATH",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_SDK_DISABLED",
    "AF_OTEL_DISABLED",
}


@check("Hub and Dask", "Which hooks of the hub are taken?", source="files")
def hub_hooks_are_chained(context: Context) -> Iterator[Finding | Unchecked]:
    """Found in the configuration, by reading it."""
    context.configured("jupyterhub")
    for setting in context.settings:
        owner, _, trait = setting.name.partition(".")
        if owner in {"KubeSpawner", "Spawner"} and trait in _HOOKS:
            yield Finding(
                "info",
                f"The facility has its own `{setting.name}`",
                f"{setting.where}: `{setting.said}`",
                "It stays: af-otel wraps the method that calls it, not the hook",
            )
    yield from _unread(context)


@check("Hub and Dask", "Does the hub's configuration switch us off?", source="files")
def nothing_switches_us_off(context: Context) -> Iterator[Finding]:
    """Variables and annotations of ours that the facility sets itself."""
    context.configured("jupyterhub", "dask-gateway")
    found = [
        (chart.at(f"{key}.{name}"), name, value, key.split(".")[0])
        for chart in context.charts
        for key in ("hub.extraEnv", "singleuser.extraEnv", "gateway.backend.environment")
        for name, value in _pairs(chart.value(key, {}))
    ]
    for setting in context.settings:
        if setting.name.endswith("Spawner.environment") and isinstance(setting.value, dict):
            found += [
                (setting.where, str(name), value, "singleuser")
                for name, value in setting.value.items()
            ]
    for where, name, value, whose in found:
        if name in {"OTEL_SDK_DISABLED", "AF_OTEL_DISABLED"} and str(value).lower() in _TRUE:
            yield Finding(
                "blocks" if whose == "hub" else "warns",
                f"`{name}` is set for {_WHOSE[whose]}: nothing there is traced",
                where,
                "The facility's own setting wins",
                f"# remove `{name}` there",
            )
        elif name == "OTEL_EXPORTER_OTLP_ENDPOINT":
            yield Finding(
                "warns",
                f"`{name}` is set for {_WHOSE[whose]}: telemetry goes there, not to our Collector",
                f"{where}: `{value}`",
                "The facility's own setting wins; redaction and sampling are the Collector's",
                f"# remove `{name}` there, or make that server one of `destinations`",
            )
    for setting in context.settings:
        if setting.name.endswith("Spawner.extra_annotations") and isinstance(setting.value, dict):
            for name in _OUR_ANNOTATIONS:
                if name in setting.value:
                    yield Finding(
                        "warns",
                        f"Users' pods get an annotation `{name}` from the facility",
                        setting.where,
                        "The Collector believes it: all sessions would look like one",
                        "# remove it there: the hub's instrumentation sets it for each server",
                    )


_TRUE = {"true", "1", "yes", "on"}
_WHOSE = {"hub": "the hub", "singleuser": "users' pods", "gateway": "Dask's pods"}


def _pairs(env: object) -> Iterator[tuple[str, object]]:
    if isinstance(env, dict):
        yield from env.items()
    for each in env if isinstance(env, list) else ():
        if isinstance(each, dict):
            yield str(each.get("name")), each.get("value")


def _unread(context: Context) -> Iterator[Unchecked]:
    """Configuration that the caller may not read, and what is no Python."""
    for name, hint in context.unread.items():
        yield Unchecked(f"what is in {name}, which you may not read", hint)
    for config in context.configs:
        if config.tree() is None:
            yield Unchecked(f"{config.where}, which is no valid Python")
