"""A Secret that is missing keeps the Collector from starting; one that lacks a key does as well."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from af_otel.checks._registry import check
from af_otel.checks._sources import contents
from af_otel.checks.finding import Finding, Unchecked
from af_otel.errors import AfOtelError
from af_otel.facility.values import HEADER_TEXT
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks._sources import Object
    from af_otel.checks.context import Context


@dataclass(frozen=True)
class Reference:
    """A key of a Secret or a ConfigMap that facility.yaml names."""

    field: str
    kind: str
    name: str
    key: str  # empty for a pull secret


def references(context: Context) -> list[Reference]:
    """All that the file names, in its order."""
    facility = context.facility
    found = list(_in(facility.model_dump(), ""))
    for number, name in enumerate(facility.collector.pull_secrets):
        found.append(Reference(f"collector.pull_secrets.{number}", "Secret", name, ""))
    return found


def _in(value: Any, path: str) -> Iterator[Reference]:
    if not isinstance(value, dict):
        return
    kind, name = (
        ("Secret", value.get("secret"))
        if value.get("secret")
        else ("ConfigMap", value.get("config_map"))
    )
    if isinstance(name, str):
        for key in ("key", "username", "password"):
            if isinstance(value.get(key), str):
                yield Reference(path, kind, name, value[key])
    for key, inner in value.items():
        yield from _in(inner, f"{path}.{key}" if path else key)


@check("Collector", "Are the Secrets there that facility.yaml names?")
def secrets_are_there(context: Context) -> Iterator[Finding | Unchecked]:
    """Each by name and key, in the facility's namespace; of values, only those of headers are
    looked at, for what the Collector would send otherwise than it is written.
    """
    cluster, namespace = context.live, context.facility.namespace
    missing: dict[tuple[str, str], list[Reference]] = {}
    for reference in references(context):
        try:
            obj = cluster.get(Ref("v1", reference.kind, reference.name, namespace))
        except AfOtelError as error:
            yield Unchecked(f"{reference.kind} `{reference.name}`: {error.what}", error.hint)
            continue
        if obj is None:
            missing.setdefault((reference.kind, reference.name), []).append(reference)
        elif reference.key and reference.key not in {
            **(obj.get("data") or {}),
            **(obj.get("binaryData") or {}),
        }:
            keys = ", ".join(f"`{key}`" for key in obj.get("data") or ()) or "none"
            yield Finding(
                "blocks",
                f"{reference.kind} `{reference.name}` has no key `{reference.key}`",
                f"`{reference.field}` in facility.yaml; those in `{namespace}`: {keys}",
                "The Collector would not start",
                f"# in facility.yaml, another key; or\nkubectl -n {namespace} patch "
                f"{reference.kind.lower()} {reference.name} "
                f'-p \'{{"stringData": {{"{reference.key}": "…"}}}}\'',
            )
        elif ".headers." in reference.field:
            yield from _header(obj, reference, namespace)
    for (kind, name), fields in missing.items():
        yield _missing(context, kind, name, fields)


def _header(obj: Object, reference: Reference, namespace: str) -> Iterator[Finding]:
    """What is in a header's Secret reaches the Collector as a variable of its configuration."""
    value = contents(obj).get(reference.key)
    if value is None or not HEADER_TEXT.fullmatch(value):
        what = "holds what no HTTP header may: a line's end, or other than ASCII"
        why = "The Collector could send nothing there"
    elif _EXPANDED.search(value):
        what = "has `$$` or `${…}` in it, which the Collector takes for its own"
        why = "It would send another value: `$` for `$$`, and a variable's for `${…}`"
    else:
        return
    yield Finding(
        "blocks",
        f"Key `{reference.key}` of Secret `{reference.name}` {what}",
        f"`{reference.field}` in facility.yaml; the Secret in `{namespace}`",
        why,
        "# another value; or, in facility.yaml, `auth`, which reads it from a file\n"
        f"kubectl -n {namespace} patch secret {reference.name} "
        f'-p \'{{"stringData": {{"{reference.key}": "…"}}}}\'',
    )


_EXPANDED = re.compile(r"\$\$|\$\{.*\}")


def _missing(context: Context, kind: str, name: str, fields: list[Reference]) -> Finding:
    namespace = context.facility.namespace
    named = ", ".join(dict.fromkeys(f"`{each.field}`" for each in fields))
    keys = dict.fromkeys(each.key for each in fields if each.key)
    literals = " ".join(f"--from-literal={key}=…" for key in keys)
    what = "generic" if keys else "docker-registry"
    tail = literals or "--docker-server=… --docker-username=… --docker-password=…"
    make = f"kubectl -n {namespace} create "
    make += f"secret {what} {name} {tail}" if kind == "Secret" else f"configmap {name} {literals}"
    if not context.there(namespace):
        make = f"kubectl create namespace {namespace}\n{make}"
    return Finding(
        "blocks",
        f"There is no {kind} `{name}` in `{namespace}`",
        f"named by {named} in facility.yaml",
        "The Collector would not start" if keys else "The Collector's image could not be pulled",
        make,
    )
