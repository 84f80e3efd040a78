"""Names and labels: what may be one, and what Prometheus will make of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from af_otel.metrics._warn import warn

if TYPE_CHECKING:
    from collections.abc import Iterable

# Everything of a user's is below this, so that no name can be one of the facility's.
PREFIX = "user."
LONGEST_NAME = 100
LONGEST_LABEL = 128
MOST_LABELS = 10

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
WHAT = f"a letter, then letters, digits and `_ . - /`, {LONGEST_NAME} at most"
# The facility's own: a user who writes one probably means that metric, which is not theirs.
_FACILITYS = re.compile(
    r"(jupyterhub|jupyter|dask|traces|process|system|k8s|http|otel|otelcol|af_otel)[._]"
)
# Labels with a meaning in Prometheus; what it scrapes with such a label, it renames like this, too.
_TAKEN = frozenset({"job", "instance", "le", "quantile"})
# The units that OpenTelemetry's Prometheus translation spells out.
_UNITS = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
    "min": "minutes", "h": "hours", "d": "days", "By": "bytes", "KiBy": "kibibytes",
    "MiBy": "mebibytes", "GiBy": "gibibytes", "KBy": "kilobytes", "MBy": "megabytes",
    "GBy": "gigabytes", "%": "percent", "Hz": "hertz", "Cel": "celsius", "m": "meters",
    "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams",
}  # fmt: skip


def metric_name(given: object) -> str | None:
    """Return the full name of a metric, None (with a warning) for what cannot be one."""
    # One that comes back from another process has the prefix already.
    name = given.removeprefix(PREFIX) if isinstance(given, str) else ""
    if not is_name(name):
        warn(
            shown(given),
            f"is no name for a metric, so it is not recorded; write {WHAT}",
        )
        return None
    if _FACILITYS.match(name) and name == given:
        warn(name, f"is a name of the facility's own; yours is `{prometheus(PREFIX + name)}`")
    return PREFIX + name


def is_name(name: str) -> bool:
    """Return whether a metric may be called so."""
    return bool(_NAME.fullmatch(name)) and len(name) <= LONGEST_NAME


def shown(value: object) -> str:
    """Return what a warning calls a value of any kind."""
    try:
        return f"{value!r:.120}"
    except Exception:
        return f"a {type(value).__name__}"


def prometheus(name: str, unit: str = "", suffix: str = "") -> str:
    """Return what Prometheus calls a metric of this name and unit.

    https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
    """
    words = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    unit = _UNITS.get(unit, "" if unit.startswith("{") or unit == "1" else unit)
    if unit and not words.endswith(f"_{unit}"):
        words += f"_{re.sub(r'[^A-Za-z0-9]+', '_', unit).strip('_')}"
    return words if not suffix or words.endswith(f"_{suffix}") else f"{words}_{suffix}"


def gathered(metric: str, given: Iterable[object], named: dict[str, Any]) -> dict[str, Any]:
    """Return labels by keyword and in mappings, such as OpenTelemetry's own calls take, as one."""
    for each in given:
        if isinstance(each, Mapping):
            named = {**each, **named}
        elif each is not None:
            kind = type(each).__name__
            warn(metric, f"takes no {kind} there, so it is left out; write labels by keyword")
    return named


def labels(metric: str, given: Mapping[str, object]) -> dict[str, str]:
    """Return labels as they are stored: text, short, and few; a warning tells what is left out."""
    taken: dict[str, str] = {}
    for name, value in given.items():
        if len(taken) == MOST_LABELS:
            warn(
                metric,
                f"has more than {MOST_LABELS} labels; `{name}` and what follows are left out",
            )
            break
        text = _label(value)
        if not isinstance(name, str) or not _LABEL.fullmatch(name):
            warn(metric, f"{shown(name)} is no name for a label, so it is left out")
        elif text is None:
            kind = type(value).__name__
            warn(metric, f"label `{name}` is a {kind} and is left out; labels are text or numbers")
        else:
            if name in _TAKEN:
                warn(metric, f"label `{name}` is Prometheus' own; yours is `exported_{name}`")
                name = f"exported_{name}"  # noqa: PLW2901
            if len(text) > LONGEST_LABEL:
                warn(metric, f"label `{name}` is cut after {LONGEST_LABEL} characters")
            taken[name] = text[:LONGEST_LABEL]
    return taken


def _label(value: object) -> str | None:
    """Return the text of a label, None for what is neither text nor one number."""
    try:
        if isinstance(value, str):
            return value
        # NumPy's and others' scalars have an `item`, and so have arrays of any shape.
        scalar = hasattr(value, "item") and not getattr(value, "shape", ())
        return str(value) if scalar or isinstance(value, (int, float)) else None
    except Exception:
        return None
