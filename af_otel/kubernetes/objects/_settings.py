"""What a facility asks of its Collector, as the variables that collector-config reads."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from af_otel.collector.identity import query
from af_otel.facility.values import amount, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Workload

QUEUE = "/var/lib/af-otel/queue"
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_MIB = 1024**2
# Of the memory limit: above the first less the second the Collector refuses what comes.
_LIMIT, _SPIKE = 0.8, 0.2
# Of the volume. What is left over is for the copies that compaction makes.
_TRACES, _METRICS, _JOURNAL = 0.4, 0.2, 0.2


def settings(
    facility: Facility, hub: Workload | None, *, guarded: bool
) -> dict[str, str | dict[str, Any]]:
    """Return the variables of the Collector's container, none of them secret."""
    return {
        "AF_OTEL_FACILITY": facility.name,
        "AF_OTEL_INSTANCE": {"fieldRef": {"fieldPath": "metadata.name"}},
        **_bounds(facility),
        **_sampling(facility),
        "AF_OTEL_GUARDED": str(guarded).lower(),
        # Without a workload no pod is the hub: no name is empty.
        "AF_OTEL_HUB_WORKLOAD": hub.name if hub else "",
        **_pods(facility),
        **_scraped(facility),
    }


def _bounds(facility: Facility) -> dict[str, str]:
    memory = amount(facility.collector.resources.limits.memory) / _MIB
    volume = amount(facility.collector.storage.size)
    compact = min(256, max(8, int(volume / _MIB / 20)))
    return {
        "AF_OTEL_MEMORY_LIMIT_MIB": str(int(memory * _LIMIT)),
        "AF_OTEL_MEMORY_SPIKE_MIB": str(int(memory * _SPIKE)),
        # Less garbage collection than by default; GOMEMLIMIT sees to it when memory is short.
        "GOGC": "200",
        "AF_OTEL_QUEUE_DIR": QUEUE,
        "AF_OTEL_TRACES_QUEUE_BYTES": str(int(volume * _TRACES)),
        "AF_OTEL_METRICS_QUEUE_BYTES": str(int(volume * _METRICS)),
        "AF_OTEL_JOURNAL_BYTES": str(int(volume * _JOURNAL)),
        "AF_OTEL_COMPACT_ABOVE_MIB": str(compact),
        "AF_OTEL_COMPACT_BELOW_MIB": str(compact // 4),
    }


def _sampling(facility: Facility) -> dict[str, str]:
    wanted = facility.sampling
    return {
        "AF_OTEL_SHARE_PERCENT": f"{wanted.share * 100:g}",
        "AF_OTEL_SLOW_MS": str(round(seconds(wanted.slow) * 1000)),
        "AF_OTEL_KEEP_ERRORS": str(wanted.keep_errors).lower(),
        "AF_OTEL_DECISION_WAIT": wanted.wait,
        "AF_OTEL_TRACES": str(facility.limits.traces),
    }


def _pods(facility: Facility) -> dict[str, str]:
    key, value = hub_label(facility)
    return {
        "AF_OTEL_NAMESPACES_REGEX": "|".join(facility.injected_namespaces),
        "AF_OTEL_HUB_NAMESPACE": facility.hub.namespace,
        "AF_OTEL_HUB_SELECTOR": query(facility.hub.selector),
        "AF_OTEL_HUB_LABEL": key,
        "AF_OTEL_HUB_LABEL_VALUE": value,
        "AF_OTEL_USER_NAMESPACES": _list(facility.users.namespaces),
        "AF_OTEL_USER_SELECTOR": query(facility.users.selector),
    }


def _scraped(facility: Facility) -> dict[str, str]:
    made = {
        "AF_OTEL_SCRAPE_INTERVAL": facility.scrape.interval,
        "AF_OTEL_HUB_PORT": str(facility.hub.port),
        "AF_OTEL_HUB_METRICS_PATH": f"{facility.hub.base_url}hub/metrics",
    }
    if facility.scrape.nodes:
        made["AF_OTEL_ACCOUNT_TOKEN"] = f"{_ACCOUNT}/token"
    for entry in facility.dask[:1]:
        made["AF_OTEL_DASK_NAMESPACES"] = _list(entry.namespaces)
        made["AF_OTEL_DASK_SELECTOR"] = query(entry.selector)
    return made


def hub_label(facility: Facility) -> tuple[str, str]:
    """Return the one label that tells the hub's pod from users' pods."""
    users = facility.users.selector
    known = {
        key: value if isinstance(value, str) else value[0]
        for key, value in facility.hub.selector.items()
    }
    for key, value in known.items():
        if key in users and users[key] != value:
            return key, value
    for key, value in reversed(known.items()):
        if re.search("component|role|tier", key):
            return key, value
    return next(reversed(known.items()))


def _list(values: Iterable[str]) -> str:
    """A list as YAML, which a variable's text is read as."""
    return json.dumps(list(values))
