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


def _unread(context: Context) -> Iterator[Unchecked]:
    """Configuration that the caller may not read, and what is no Python."""
    for name, hint in context.unread.items():
        yield Unchecked(f"what is in {name}, which you may not read", hint)
    for config in context.configs:
        if config.tree() is None:
            yield Unchecked(f"{config.where}, which is no valid Python")
