"""af-otel runs on the Python of the facility's own images, next to the packages that are there:
what does not fit is left untraced, and nobody would know why.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from af_otel.checks import _look, _templates
from af_otel.checks._probe import Failed
from af_otel.checks._registry import check
from af_otel.checks.finding import Finding, Unchecked
from af_otel.kubernetes.objects.injection import excludes
from af_otel.runtime._bridge import SUPPORTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks._look import View
    from af_otel.checks.context import Context

    Found = Iterator[Finding | Unchecked]

OLDEST = (3, 10)
_HOSTS = {
    "jupyterhub": "hub",
    "jupyter_server": "user",
    "ipykernel": "user",
    "dask": "user, dask",
}
# Of Python's own, or nothing to speak of: Debian's reports crashes.
_HARMLESS = {"sys", "os", "site", "warnings", "apport_python_hook"}


@check("Pods and images", "Do the images have a shell and a Python that af-otel runs on?")
def images_have_python(context: Context) -> Found:
    """A probe with each image looks."""
    yield from _look.unseen(context)
    for place in context.places:
        for template in _templates.of(context, place)[_templates.MOST :]:
            yield Unchecked(
                f"image `{template.image}` ({template.where}): those before it were many"
            )
    for view in _look.views(context):
        template, problem = view.template, view.problem
        if excludes(context.facility, template.image):
            continue
        where = f"image `{template.image}` of {template.role} ({template.where})"
        if isinstance(problem, Failed) and problem.image:
            yield Finding(
                "warns",
                f"Image `{template.image}` cannot be pulled",
                problem.where or template.where,
                "Pods with it do not start, with or without af-otel",
            )
        elif problem is None and (what := _lack(view)):
            yield Finding(
                "blocks" if template.place.role == "hub" or view.no_shell else "warns",
                what,
                where,
                "Its pods would wait for ever for an init container that cannot run"
                if view.no_shell
                else "Its pods start and run as before, but untraced",
                "# in facility.yaml, if that is as it should be: pods with it are left alone\n"
                f"injection: {{exclude_images: ['{template.image}']}}",
            )


def _lack(view: View) -> str:
    """What an image lacks for us to run there."""
    image = f"image `{view.template.image}`"
    if view.no_shell:
        return f"No shell (`sh`) is in {image}"
    if view.broken:
        return f"The Python of {image} does not start: {view.broken}"
    if view.no_python:
        return f"No Python is in {image}"
    version = tuple(view.python.get("python", OLDEST))
    if version >= OLDEST:
        return ""
    found, oldest = (".".join(map(str, each[:2])) for each in (version, OLDEST))
    return f"Python {found} of {image} is older than {oldest}"


@check("Pods and images", "Are the libraries in the images new enough to be traced?")
def libraries_are_supported(context: Context) -> Found:
    """Versions as the image's own Python sees them, against what the instrumentations support."""
    yield from _look.unseen(context)
    for view in _look.seen(context):
        template = view.template
        versions = view.python.get("versions") or {}
        for host, roles in _HOSTS.items():
            module = importlib.import_module(f"af_otel_instrumentation.{host}")
            for text in module.SUPPORTS if template.place.role in roles else ():
                wanted = Requirement(text)
                have = versions.get(wanted.name)
                if have is None or _within(have, wanted):
                    continue
                yield Finding(
                    "blocks" if template.place.role == "hub" else "warns",
                    f"`{wanted.name}` {have} is not supported: `{wanted.specifier}`",
                    f"image `{template.image}` of {template.role} ({template.where})",
                    f"What `{wanted.name}` does there runs untraced and unharmed",
                    f"# in the image\npip install '{text}'",
                )


@check("Pods and images", "Do spans of the images' own OpenTelemetry reach the Collector?")
def opentelemetry_fits(context: Context) -> Found:
    """af-otel has one of its own; what users record with the image's is exported as well."""
    yield from _look.unseen(context)
    (text,) = SUPPORTS
    wanted = Requirement(text)
    for view in _look.seen(context):
        template = view.template
        have = (view.python.get("versions") or {}).get(wanted.name)
        if have is not None and not _within(have, wanted):
            yield Finding(
                "warns",
                f"`{wanted.name}` {have} of image `{template.image}` is not supported: "
                f"`{wanted.specifier}`",
                f"{template.role} ({template.where})",
                "All is traced but the spans and metrics that users record with it",
                f"# in the image\npip install '{text}'",
            )


@check("Pods and images", "What do the images run at every start of Python?")
def own_sitecustomize_is_chained(context: Context) -> Found:
    """Ours stands in front of it and runs it as if it came first; that is good to know."""
    yield from _look.unseen(context)
    for view in _look.seen(context):
        template = view.template
        for name, custom in (view.python.get("custom") or {}).items():
            imports = [each for each in custom["imports"] if each not in _HARMLESS]
            if not imports:
                continue
            listed = ", ".join(f"`{each}`" for each in imports[:6])
            traces = any("opentelemetry" in each for each in imports)
            yield Finding(
                "warns" if traces else "info",
                f"Image `{template.image}` has a `{name}` of its own, which imports {listed}",
                f"`{custom['path']}` ({template.role})",
                "It seems to set up OpenTelemetry itself, which goes on beside ours"
                if traces
                else "af-otel runs it as it would have been run; nothing is lost",
            )


@check("Pods and images", "Is the images' own PYTHONPATH kept?", source="files")
def own_python_path_is_kept(context: Context) -> Found:
    """A pod's PYTHONPATH replaces the image's: ours is added by the policy, which keeps both."""
    if context.cluster is not None:
        yield from _look.unseen(context)
        for view in _look.seen(context):
            path = view.python.get("pythonpath") or ""
            others = [each for each in path.split(":") if each and "af-otel" not in each]
            if others:
                yield Finding(
                    "info",
                    f"Image `{view.template.image}` sets `PYTHONPATH` to `{':'.join(others)}`",
                    f"{view.template.role} ({view.template.where})",
                    "It is kept: af-otel records it and puts itself in front",
                )
    else:
        context.configured("jupyterhub", "dask-gateway")
    for chart in context.charts:
        for key in ("hub.extraEnv", "singleuser.extraEnv", "gateway.backend.environment"):
            if "PYTHONPATH" in _names(chart.value(key, {})):
                yield Finding(
                    "info",
                    f"`PYTHONPATH` is set for {_WHOSE[key]}",
                    chart.at(f"{key}.PYTHONPATH"),
                    "It is kept, behind ours; but it hides a `PYTHONPATH` that the image may have",
                )


_WHOSE = {
    "hub.extraEnv": "the hub",
    "singleuser.extraEnv": "users' pods",
    "gateway.backend.environment": "Dask's pods",
}


def _names(env: Any) -> list[str]:
    if isinstance(env, list):
        return [str(each.get("name")) for each in env if isinstance(each, dict)]
    return list(env) if isinstance(env, dict) else []


def _within(have: str, wanted: Requirement) -> bool:
    try:
        return wanted.specifier.contains(Version(have), prereleases=True)
    except InvalidVersion:
        return True
