"""The facility's pods from inside: one probe for each image, all at once, for all checks."""

from __future__ import annotations

import base64
import json
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from af_otel.checks import _egress, _templates
from af_otel.checks._probe import Failed
from af_otel.checks._templates import Template
from af_otel.checks.finding import Unchecked
from af_otel.errors import AfOtelError
from af_otel.kubernetes.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context
    from af_otel.kubernetes.objects._labels import Pods

PATIENCE = 18  # seconds that a probe tries to reach the Collector
_OPENED = 8  # seconds without an answer, after which a way is opened to see whether that helps
_NO_PYTHON = 42
_CANNOT_START = {126, 127}  # what a shell says of a program that it cannot run
_NOT_STARTED = {"StartError", "ContainerCannotRun"}  # by the container's runtime
_SCRIPT = (Path(__file__).parent / "_inside.py").read_bytes()
# In a URL when it is an `exec`, so it is packed.
PROGRAM = (
    "import sys\nif sys.version_info < (3, 6):\n"
    " print('{\"python\": [%d, %d]}' % sys.version_info[:2])\n sys.exit(1)\n"
    "import base64,zlib;exec(zlib.decompress(base64.b64decode('"
    + base64.b64encode(zlib.compress(_SCRIPT, 9)).decode()
    + "')).decode())"
)
_RUN = (
    "for p in python3 python; do if command -v $p >/dev/null 2>&1; "
    'then exec $p -c "$AF_OTEL_PROBE"; fi; done; exit 42'
)


@dataclass
class View:
    """What one image's pod looks like from inside."""

    template: Template
    found: dict[str, Any] | None = None  # what the script says
    no_shell: bool = False
    no_python: bool = False
    broken: str = ""  # what its Python says instead of starting
    problem: AfOtelError | None = None  # it did not start
    opened: float | None = None  # seconds after which a way to the Collector was opened
    target: str = ""
    created: str = ""  # the API server's clock
    made: float = 0.0  # ours, at that moment
    seen: float = 0.0  # our clock, when the script had ended
    may_open: bool = True  # a way to the Collector

    @property
    def python(self) -> dict[str, Any]:
        """What the Python of the server or worker says; the first one's if there is one only."""
        found = self.found or {}
        server: dict[str, Any] = found.get("server") or found
        return server


def views(context: Context) -> list[View]:
    """All of them."""
    return context.once("views", lambda: _views(context))


def seen(context: Context) -> Iterator[View]:
    """Yield the views of images with a Python; what a check says of the others is `unseen`."""
    for view in views(context):
        if view.problem is None and view.python.get("python"):
            yield view


def unseen(context: Context) -> Iterator[Unchecked]:
    """Yield what a check of images has to say of those that could not be looked at."""
    for view in views(context):
        if view.problem is not None:
            image = f"image `{view.template.image}` of {view.template.role}"
            yield Unchecked(f"{image}: {_reason(view.problem)}", view.problem.hint)


def _reason(problem: AfOtelError) -> str:
    # For a request that is forbidden the hint repeats where.
    return problem.what + ("" if isinstance(problem, Forbidden) else f" ({problem.where})")


def _views(context: Context) -> list[View]:
    templates = [
        template
        for place in context.places
        for template in _templates.of(context, place)[: _templates.MOST]
        if template.image
    ]
    # Before the pods, which are to try and reach it.
    target = _egress.target(context)
    with ThreadPoolExecutor(max_workers=max(1, len(templates))) as executor:
        return list(executor.map(lambda each: _view(context, each, target), templates))


def _view(context: Context, template: Template, target: _egress.Target) -> View:
    view = View(template, target=target.address)
    try:
        if template.place.role == "hub":
            _by_exec(context, view, target)
        else:
            _by_pod(context, view, target)
    except AfOtelError as error:
        view.problem = error
    return view


def _by_exec(context: Context, view: View, target: _egress.Target) -> None:
    """In the hub's own pod: one with its labels would have to be kept out of its Service."""
    hub = context.facility.hub
    pod = next(
        (
            pod
            for pod in context.pods(view.template.place)
            if pod.get("status", {}).get("phase") == "Running"
        ),
        None,
    )
    if pod is None:
        raise Failed("No pod of the hub runs", where=f"namespace `{hub.namespace}`")
    variables = {
        "AF_OTEL_PROBE": PROGRAM,
        "AF_OTEL_PROBE_TARGET": target.address,
        "AF_OTEL_PROBE_ADDRESS": target.ip,
        "AF_OTEL_PROBE_PATIENCE": "5",
        "AF_OTEL_PROBE_METRICS": f"http://127.0.0.1:8081{hub.base_url}hub/metrics",
    }
    export = "; ".join(f'export {name}="${at}"' for at, name in enumerate(variables, 1))
    output = context.live.exec(
        hub.namespace,
        pod["metadata"]["name"],
        ["sh", "-c", f"{export}; {_RUN}", "sh", *variables.values()],
        container=pod["spec"]["containers"][0]["name"],
        timeout=PATIENCE + 10,
    )
    view.seen = time.time()
    view.no_python = output.code == _NO_PYTHON
    if output.code in _CANNOT_START:
        view.broken = _last_line(output.err)
    for line in output.out.splitlines():
        if line.startswith("{"):
            view.found = json.loads(line)
    if not view.found and not view.no_python and not view.broken:
        raise Failed("The hub's Python could not look around", where=output.err.strip()[-300:])


def _by_pod(context: Context, view: View, target: _egress.Target) -> None:
    probes = context.probes
    assert probes is not None, "views are for a cluster"
    template = view.template
    name = probes.name(template.place.role)
    _egress.refuse_adoption(context, template)
    probe = probes.start(pod(template, name, target))
    view.created, view.made = probe.created, probe.made

    def open_a_way(running: float) -> None:
        if view.opened is None and view.may_open and running > _OPENED:
            try:
                _egress.open_a_way(probes, template, name, target)
                view.opened = running
            except Forbidden:
                view.may_open = False

    ended = probe.ended("probe", meanwhile=open_a_way if target.address else None)
    probe.remove()
    view.seen = ended.seen
    view.found = ended.result()
    view.no_python = ended.code == _NO_PYTHON
    view.no_shell = ended.reason in _NOT_STARTED
    if view.found is None and ended.code in _CANNOT_START:
        view.broken = _last_line(ended.message)
    if (view.no_python or view.no_shell or view.broken) and target.address:
        _carried(context, view, target)
    if not view.found and not (view.no_python or view.no_shell or view.broken):
        raise Failed(
            "A probe pod could not look around",
            where=ended.message.strip()[-300:] or f"{ended.reason}, exit code {ended.code}",
        )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it cannot be run"])[-1][-200:]


def _carried(context: Context, view: View, target: _egress.Target) -> None:
    """What the network allows hangs on labels: an image with a Python goes in their place."""
    hub: Pods = next(place for place in context.places if place.role == "hub")
    images = [each for each in _templates.of(context, hub) if each.image]
    if not images or hub.namespace != view.template.place.namespace:
        return
    container = {"image": images[0].image, **_security(view.template, images[0])}
    spec = {**view.template.spec, "containers": [container]}
    other = Template(
        view.template.place, view.template.role, images[0].image, "", view.template.labels, spec
    )
    helper = View(other, target=target.address)
    _by_pod(context, helper, target)
    view.opened = helper.opened
    if helper.found and "reach" in helper.found:
        view.found = {"reach": helper.found["reach"], "clock": helper.found["clock"]}


def _security(template: Template, other: Template) -> dict[str, Any]:
    chosen = other.container.get("securityContext") or template.container.get("securityContext")
    return {"securityContext": chosen} if chosen else {}


def pod(template: Template, name: str, target: _egress.Target) -> dict[str, Any]:
    """A pod like those of the template that runs our script instead of theirs."""
    variables = {
        "AF_OTEL_PROBE": PROGRAM,
        "AF_OTEL_PROBE_LOG": "/dev/termination-log",
        "AF_OTEL_PROBE_TARGET": target.address,
        "AF_OTEL_PROBE_ADDRESS": target.ip,
        "AF_OTEL_PROBE_PATIENCE": str(PATIENCE),
    }
    container = {
        **template.container,
        "name": "probe",
        "command": ["sh", "-c", _RUN],
        "env": [
            # Kubernetes takes `$(NAME)` for a variable.
            {"name": key, "value": value.replace("$", "$$")}
            for key, value in variables.items()
        ],
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "1", "memory": "256Mi"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {
        "metadata": {
            "name": name,
            "namespace": template.place.namespace,
            "labels": {**template.labels, "af-otel.io/probe-name": name},
        },
        "spec": {**template.spec, "containers": [container]},
    }
