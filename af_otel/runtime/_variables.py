"""Reading environment variables so that a broken one costs one line and nothing else."""

from __future__ import annotations

import os

from af_otel.runtime._log import say

# The largest accepted number; a longer wait or a larger queue raises OverflowError.
MOST = 2**31 - 1


def first(*names: str) -> tuple[str, str]:
    """Return name and value of the first variable that is set; the value is "" if none is."""
    for name in names:
        value = os.environ.get(name, "")
        if value.strip():
            return name, value
    return names[0], ""


def number(*names: str, default: int, least: int = 1) -> int:
    """Return the first of these variables that is set, as a whole number."""
    name, raw = first(*names)
    raw = raw.strip()
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        value = least - 1
    if not least <= value <= MOST:
        say(f"{name}={raw!r} is no whole number from {least} to {MOST}; {default} is used")
        return default
    return value


def seconds(*names: str, default: float) -> float:
    """Return the first of these variables that is set, as a duration above zero."""
    name, raw = first(*names)
    raw = raw.strip()
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        value = 0.0
    if not 0 < value <= MOST:
        say(f"{name}={raw!r} is no number of seconds; {default:g} is used")
        return default
    return value


def choice(*names: str, default: str, known: tuple[str, ...]) -> str:
    """Return the first of these variables that is set, if it is one of the known words."""
    name, raw = first(*names)
    value = raw.strip().lower() or default
    if value not in known:
        say(f"{name}={value!r} is not one of {', '.join(known)}; {default} is used")
        return default
    return value
