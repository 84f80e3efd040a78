"""What the facility sets itself wins, variables as well as annotations: also where that sends
telemetry elsewhere, or switches it off. Endpoints of OpenTelemetry's own name do neither, but other
tools in users' pods obey them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from af_otel.checks._registry import check
from af_otel.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context

# What tells the Collector whose a pod is.
_OUR_ANNOTATIONS = ("af-otel.io/session-id", "af-otel.io/user-hash")


@check("Hub and Dask", "Does the facility set variables or annotations of ours?", source="files")
def environment_is_left_to_us(context: Context) -> Iterator[Finding]:
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
    found += [
        (f"`injection.env.{name}` of facility.yaml", name, value, "injected")
        for name, value in context.facility.injection.env.items()
    ]
    for where, name, value, whose in found:
        yield from _variable(where, name, value, whose)
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


def _variable(where: str, name: str, value: object, whose: str) -> Iterator[Finding]:
    if name in {"OTEL_SDK_DISABLED", "AF_OTEL_DISABLED"} and str(value).lower() in _TRUE:
        yield Finding(
            "blocks" if whose in {"hub", "injected"} else "warns",
            f"`{name}` is set for {_WHOSE[whose]}: nothing there is traced",
            where,
            "The facility's own setting wins",
            f"# remove `{name}` there",
        )
    elif _OUR_ENDPOINT.fullmatch(name):
        yield Finding(
            "warns",
            f"`{name}` is set for {_WHOSE[whose]}: telemetry goes there, not to our Collector",
            f"{where}: `{_shown(value)}`",
            "The facility's own setting wins; redaction and sampling are the Collector's",
            f"# remove `{name}` there, or make that server one of `destinations`",
        )
    elif _ANY_ENDPOINT.fullmatch(name) and whose != "hub":
        yield Finding(
            "warns",
            f"`{name}` is set for {_WHOSE[whose]}: users' own tools send their data there",
            f"{where}: `{_shown(value)}`",
            "Libraries such as MLflow obey it: they send their traces, with the arguments of "
            "users' functions, to that server instead of storing them. Our telemetry does not "
            "need it",
            f"# remove `{name}` there, unless users' tools are meant to send to that server",
        )


_TRUE = {"true", "1", "yes", "on"}
_WHOSE = {
    "hub": "the hub",
    "singleuser": "users' pods",
    "gateway": "Dask's pods",
    "injected": "all injected pods",
}
_OUR_ENDPOINT = re.compile(r"AF_OTEL_((TRACES|METRICS)_)?ENDPOINT")
_ANY_ENDPOINT = re.compile(r"OTEL_EXPORTER_OTLP_((TRACES|METRICS|LOGS)_)?ENDPOINT")


def _shown(address: object) -> str:
    """An address without a login that is in it."""
    return re.sub(r"//[^/]*@", "//…@", str(address))


def _pairs(env: object) -> Iterator[tuple[str, object]]:
    """Variables of a mapping, whose values may be written as those of a list are, or of a list."""
    named = env.items() if isinstance(env, dict) else (("", each) for each in _list(env))
    for name, each in named:
        if isinstance(each, dict):
            yield str(each.get("name", name)), each.get("value", "")
        else:
            yield str(name), each


def _list(env: object) -> list[object]:
    return env if isinstance(env, list) else []
