"""The plain files of collector-config, and the whole configuration of a facility."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

_PACKAGE = Path(__file__).parent
_INSTALLED, _CHECKOUT = _PACKAGE / "config", _PACKAGE.parents[1] / "collector-config"
PLAIN = ("base.yaml", "kubernetes.yaml")
NGINX = "nginx.conf"
# Without, the Collector refuses a configuration that asks for remote write 2.0.
FLAGS = "--feature-gates=exporter.prometheusremotewritexporter.enableSendingRW2"


def directory() -> Path:
    """Where the plain files are, in an installation as in a checkout."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


def plain() -> dict[str, str]:
    """The files that every facility's Collector reads, by name and in their order."""
    return {name: (directory() / name).read_text(encoding="utf-8") for name in PLAIN}


def nginx() -> str:
    """Return the configuration of nginx, which limits what each sender takes of a Collector."""
    return (directory() / NGINX).read_text(encoding="utf-8")


def parsed() -> dict[str, Any]:
    """What the plain files come to, with variables as they are written."""
    return copy.deepcopy(_parsed())


@cache
def _parsed() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for text in plain().values():
        merge(made, yaml.safe_load(text))
    return made


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Lay a configuration over another one as the Collector does: a list replaces a list."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
