"""How much of an install's time went into pulling images, by what the kubelets say of it."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from af_otel.kubernetes.client import Cluster

# Successfully pulled image "x" in 1.2s (1m3.4s including waiting). Image size: 123 bytes.
_TOOK = re.compile(r"\((?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)(m?)s)? including waiting\)")


def seconds(cluster: Cluster, namespaces: Iterable[str], since: dt.datetime) -> float:
    """Seconds since a time in which images were pulled in these namespaces, none twice."""
    now = dt.datetime.now(dt.timezone.utc)
    spans = []
    for namespace in dict.fromkeys(namespaces):
        try:
            events = cluster.list("Event", namespace=namespace, fields="reason=Pulled")
        except AfOtelError:
            continue  # no right to read them: then nothing is taken off
        for event in events:
            ended = event.get("lastTimestamp") or event.get("eventTime")
            took = duration(event.get("message", ""))
            if ended and took:
                end = dt.datetime.fromisoformat(ended.replace("Z", "+00:00"))
                spans.append((max(since, end - dt.timedelta(seconds=took)), min(end, now)))
    total, reached = 0.0, since
    for start, end in sorted(spans):
        begin = max(start, reached)
        if end > begin:
            total += (end - begin).total_seconds()
            reached = end
    return total


def duration(message: str) -> float:
    """The seconds that a kubelet says a pull took; 0 if the image was there."""
    found = _TOOK.search(message)
    if found is None:
        return 0.0
    hours, minutes, rest, milli = found.groups()
    return (
        int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(rest or 0) * (0.001 if milli else 1)
    )
