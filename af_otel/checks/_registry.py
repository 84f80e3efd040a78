"""All checks there are, by name: `@check` over a function that yields what it finds."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from af_otel import checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from af_otel.checks.context import Context
    from af_otel.checks.finding import Finding, Unchecked

    Function = Callable[[Context], Iterator[Finding | Unchecked]]

# What a check looks at: a live cluster; or objects and chart values, which files have as well.
Source = Literal["cluster", "files"]
Group = Literal["Access", "Cluster", "Network", "Pods and images", "Hub and Dask", "Collector"]


@dataclass(frozen=True)
class Check:
    """A check's name is the healthy state, with dashes; its reason is its module's docstring."""

    name: str
    group: Group
    asks: str  # the question it answers, for the list and while it runs
    source: Source
    function: Function
    reason: str


_checks: dict[str, Check] = {}


def check(group: Group, asks: str, *, source: Source = "cluster") -> Callable[[Function], Function]:
    """Register a function as a check."""

    def register(function: Function) -> Function:
        name = function.__name__.replace("_", "-")
        module = importlib.import_module(function.__module__)
        reason = " ".join((module.__doc__ or "").split())
        _checks[name] = Check(name, group, asks, source, function, reason)
        return function

    return register


def every() -> list[Check]:
    """All checks, in the order in which they are shown: by group, then by name."""
    for module in pkgutil.iter_modules(checks.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{checks.__name__}.{module.name}")
    groups = ("Access", "Cluster", "Network", "Pods and images", "Hub and Dask", "Collector")
    return sorted(_checks.values(), key=lambda item: (groups.index(item.group), item.name))
