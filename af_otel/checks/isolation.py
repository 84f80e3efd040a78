"""Python finds af-otel by PYTHONPATH, which it ignores with `-I` or `-E`, and runs it by the module
`site`, which it leaves out with `-S`. Kernels and servers that are started with these options run
untraced.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from af_otel.checks import _look
from af_otel.checks._commands import isolating_options, without_isolation
from af_otel.checks._registry import check
from af_otel.checks.finding import Finding, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from af_otel.checks._config import Setting
    from af_otel.checks._look import View
    from af_otel.checks._sources import Chart
    from af_otel.checks.context import Context

# Of spawners, and of Dask Gateway's backends.
_TRAITS = {"cmd", "worker_cmd", "scheduler_cmd"}


@check(
    "Pods and images",
    "Do kernels and servers start Python without `-I`, `-E` and `-S`?",
    source="files",
)
def python_is_not_isolated(context: Context) -> Iterator[Finding | Unchecked]:
    """Kernel specs on all data paths of the images' Jupyter and the first lines of the servers'
    scripts, read by probes; commands in the configuration, read from it.
    """
    if context.cluster is not None:
        yield from _look.unseen(context)
        for view in _look.seen(context):
            yield from _of_image(view)
    else:
        context.configured("jupyterhub", "dask-gateway")
    for chart in context.charts:
        if chart.name == "jupyterhub":
            yield from _of_values(chart)
    for setting in context.settings:
        if setting.name.rpartition(".")[2] in _TRAITS:
            yield from _of_setting(setting)


def _of_image(view: View) -> Iterator[Finding | Unchecked]:
    commands = view.python.get("commands") or {}
    image = f"image `{view.template.image}` of {view.template.role}"
    for path, command in commands.get("found", {}).items():
        *_, directory, file = path.split("/")
        better = without_isolation(command)
        if file == "kernel.json":
            name, mend = f"Kernel `{directory}`", f'# in {path}\n"argv": {json.dumps(better)}'
        else:
            name, mend = f"Script `{file}`", f"# the first line of {path}\n#!{' '.join(better)}"
        yield from _findings(name, command, f"`{path}` in {image}", mend)
    if commands.get("more"):
        yield Unchecked(f"{commands['more']} more kernel specs in {image}")


def _of_values(chart: Chart) -> Iterator[Finding]:
    command = _words(chart.value("singleuser.cmd"))
    mend = chart.yaml({"singleuser": {"cmd": without_isolation(command)}})
    yield from _findings("`singleuser.cmd`", command, chart.at("singleuser.cmd"), mend)
    for override in _overrides(chart.value("singleuser.profileList", [])):
        command = _words(override.get("cmd"))
        better = json.dumps(without_isolation(command))
        yield from _findings(
            "A profile's `kubespawner_override.cmd`",
            command,
            chart.at("singleuser.profileList"),
            f"# in that profile\nkubespawner_override: {{cmd: {better}}}",
        )


def _of_setting(setting: Setting) -> Iterator[Finding]:
    command = _words(setting.value)
    mend = f"c.{setting.name} = {json.dumps(without_isolation(command))}"
    yield from _findings(f"`{setting.name}`", command, setting.where, mend)


def _findings(name: str, command: Sequence[str], where: str, mend: str) -> Iterator[Finding]:
    if options := isolating_options(command):
        listed = " and ".join(f"`{option}`" for option in options)
        yield Finding(
            "warns",
            f"{name} starts Python with {listed}, so it cannot be traced",
            where,
            "With these options Python does not find af-otel, which is on PYTHONPATH; it runs as "
            "before, but untraced",
            mend,
        )


def _words(command: Any) -> list[str]:
    """Return a command that is written as a list or as one word; an expression is not read."""
    if isinstance(command, str):
        return [command]
    return [str(word) for word in command] if isinstance(command, list) else []


def _overrides(found: Any) -> Iterator[dict[str, Any]]:
    """Yield what profiles, and the choices in them, override."""
    if isinstance(found, list):
        for item in found:
            yield from _overrides(item)
    elif isinstance(found, dict):
        if isinstance(override := found.get("kubespawner_override"), dict):
            yield override
        for value in found.values():
            yield from _overrides(value)
