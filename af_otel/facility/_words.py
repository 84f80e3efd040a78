"""A mistake in words that an operator knows, and the YAML that mends it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import yaml

from af_otel.facility._fields import choices, dotted, example, names, nested, where
from af_otel.facility.values import is_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic_core import ErrorDetails

    from af_otel.facility._yaml import Document, Path

    Words = tuple[str, str]

_SHAPES = {
    "model_type": "a section: lines of `field: value` below it",
    "dict_type": "a section: lines of `name: value` below it",
    "list_type": "a list: lines that begin with `- `, or `[…, …]`",
    "bool_type": "`true` or `false`",
    "bool_parsing": "`true` or `false`",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "string_pattern_mismatch": "a path that begins and ends with `/`: letters, digits, `-._~%@+`",
}
_NO_PLACE = "and this file is no place for secrets"
_CREDENTIALS = {("auth", "basic"), ("auth", "bearer")}


def words(document: Document, path: Path, detail: ErrorDetails) -> Words:
    """What is wrong at `path`, and what to write."""
    kind: str = detail["type"]
    context = detail.get("ctx", {})
    if "what" in context and kind != "af_otel":
        said = context["what"]
        if path[0] != "destinations":
            return f"`{dotted(path)}` {said[0].lower()}{said[1:]}, {_NO_PLACE}", ""
        return _secret(document, path, f"`{dotted(path)}` {said[0].lower()}{said[1:]}")
    if "what" in context:
        return context["what"], _to_write(path, context)
    if kind in _KINDS:
        return _KINDS[kind](document, path, detail)
    return f"`{dotted(path)}`: {detail['msg']}", nested(path, example(path))


def _to_write(path: Path, context: dict[str, Any]) -> str:
    if not context["write"]:
        return ""
    if "below" in context:
        path = path[: len(path) - context["below"]]
    return nested(path, yaml.safe_load(context["write"]))


def _missing(document: Document, path: Path, _: ErrorDetails) -> Words:
    if path[-3:-1] in _CREDENTIALS:
        return _secret(document, path, f"`{dotted(path[:-1])}` names no Secret")
    return f"`{dotted(path)}` is missing", nested(path, example(path))


def _unknown(document: Document, path: Path, detail: ErrorDetails) -> Words:
    name, around = str(path[-1]), path[:-1]
    known = names(around)
    section = f"`{dotted(around)}`" if around else "A facility"
    what = f"{section} has no field `{name}`"
    if around[:1] == ("destinations",) and (path[-3:-1] in _CREDENTIALS or is_secret(name, "")):
        return _secret(document, path, f"{what}, {_NO_PLACE}")
    nearest = _nearest(name, known)
    if nearest:
        path = (*around, nearest)
        value = detail["input"]
        return f"{what}; the nearest is `{nearest}`", nested(
            path, value if _harmless(value) else example(path)
        )
    elsewhere = where(name)
    if elsewhere:
        place = f"in `{dotted(elsewhere[:-1])}`" if elsewhere[:-1] else "at the left margin"
        return f"{what}; there is one {place}", nested(elsewhere, example(elsewhere))
    return f"{what}; it has " + ", ".join(f"`{field}`" for field in known), ""


def meant(path: Path) -> Path | None:
    """Return the field that an unknown one at `path` is most likely to be, if there is one."""
    nearest = _nearest(str(path[-1]), names(path[:-1]))
    return (*path[:-1], nearest) if nearest else None


def _harmless(value: Any) -> bool:
    """Whether a value can be repeated: it is there, and no credentials are in it."""
    if isinstance(value, dict):
        return bool(value) and all(
            _harmless(item) and not is_secret(str(key), "") for key, item in value.items()
        )
    if isinstance(value, list):
        return bool(value) and all(map(_harmless, value))
    return bool(value) and not is_secret("", str(value)) and not set("@?") & set(str(value))


def _nearest(name: str, known: Sequence[str]) -> str:
    def plain(text: str) -> str:
        return text.replace("_", "").replace("-", "").lower()

    by_plain = {plain(item): item for item in known}
    near = difflib.get_close_matches(plain(name), by_plain, 1, 0.6)
    return by_plain[near[0]] if near else ""


def _not_text(document: Document, path: Path, detail: ErrorDetails) -> Words:
    field, value = f"`{dotted(path)}`", detail["input"]
    if isinstance(value, (bool, int, float)):
        text = document.text(path)
        kind = "a yes or no" if isinstance(value, bool) else "a number"
        return f"To YAML `{text}` is {kind}, and {field} is a text: quote it", nested(path, text)
    if value is None:
        return f"{field} has no value", nested(path, example(path))
    return f"{field} has to be a single text", nested(path, example(path))


def _other_choice(_: Document, path: Path, detail: ErrorDetails) -> Words:
    known = choices(path)
    what = f"`{dotted(path)}` is one of " + ", ".join(f"`{choice}`" for choice in known)
    return what, nested(path, _nearest(str(detail["input"]), known) or known[0])


def _too_small(_: Document, path: Path, detail: ErrorDetails) -> Words:
    bound = detail["ctx"]["ge"]
    return f"`{dotted(path)}` is at least {bound:g}", nested(path, bound)


def _too_large(_: Document, path: Path, detail: ErrorDetails) -> Words:
    bound = detail["ctx"]["le"]
    return f"`{dotted(path)}` is at most {bound:g}", nested(path, bound)


def _other_shape(document: Document, path: Path, detail: ErrorDetails) -> Words:
    if path[-2:] in _CREDENTIALS:
        return _secret(document, path, f"`{dotted(path)}` is written out, {_NO_PLACE}")
    return f"`{dotted(path)}` has to be {_SHAPES[detail['type']]}", nested(path, example(path))


_KINDS: dict[str, Callable[[Document, Path, ErrorDetails], Words]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "string_type": _not_text,
    "literal_error": _other_choice,
    "greater_than_equal": _too_small,
    "less_than_equal": _too_large,
} | dict.fromkeys(_SHAPES, _other_shape)


def _secret(document: Document, path: Path, what: str) -> Words:
    """The lines that name a Secret, and the Secret to make."""
    data = document.data if isinstance(document.data, dict) else {}
    signal = str(path[1])
    base: Path = ("destinations", "metrics", "remote_write")
    if signal == "traces":
        # A file of the old layout, in which `traces` itself is the Tempo, is answered with the new.
        kind = path[2] if path[2:3] in {("tempo",), ("jaeger",), ("otlp",)} else "tempo"
        base = ("destinations", "traces", kind)
    name = f"{signal}-credentials"
    header = str(path[-1]) if "headers" in path else ""
    refers: dict[str, Any]
    if header and header.lower() != "authorization":
        keys, refers = [header], {"headers": {header: {"secret": name, "key": header}}}
    elif header or "bearer" in path or "token" in str(path[-1]).lower():
        keys, refers = ["token"], {"auth": {"bearer": {"secret": name, "key": "token"}}}
    else:
        keys, refers = ["username", "password"], {"auth": {"basic": {"secret": name}}}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": data.get("namespace", "af-otel")},
        "stringData": dict.fromkeys(keys, "…"),
    }
    return what, f"{nested(base, refers)}\n# with this in the cluster:\n{nested((), secret)}"
