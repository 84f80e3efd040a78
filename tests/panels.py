"""What panels show: their queries with their variables resolved, asked of the real servers."""

from __future__ import annotations

import re
import time

import httpx

from af_otel.grafana.dashboards import dashboards
from af_otel.grafana.queries import queries
from servers import wait_for

# "dashboard: panel" of what only a cluster can fill; the others are filled on one machine.
ON_A_CLUSTER = {
    "kubernetes: CPU",
    "kubernetes: Memory",
    "kubernetes: CPU of the ten busiest pods",
    "kubernetes: Memory of the ten largest pods",
    "kubernetes: Pods",
    "kubernetes: Containers that started anew",
    "kubernetes: CPU by namespace",
    "telemetry: Traces decided on per second",
}
# And of a kubelet that has disks. The tests' has none: it lives in a mount namespace of its own,
# knows no file system for its root (its `stats/summary` says so), and so measures no volume either.
ON_A_DISK = {
    "kubernetes: Disk",
    "kubernetes: The fullest volumes",
    "kubernetes: What volumes hold",
}
# And of a Dask with crick, which Python 3.14 has no wheel of.
WITH_CRICK = {
    "dask: `dask_worker_task_duration_median_seconds`",
    "dask: `dask_worker_transfer_bandwidth_median_bytes`",
}
BACK = 1800  # s before now in which something must have happened
STEP = 15
# A reader leaves these as they are; here all is quicker, and was begun just now.
QUICKER = {"slower": "1ms", "__range": "900s"}
_LABELS = re.compile(r"label_values\((.+), (\w+)\)")


def empty(urls, wanted, within):
    """The queries without data, with their panels; `wanted` says of which panels."""
    boards = dashboards()
    values = {name: resolved(urls["prometheus"], board) for name, board in boards.items()}
    left = {
        f"{name}: {query.panel}: {query.resolved(values[name])}": (query, values[name])
        for name, board in boards.items()
        for query in queries(board)
        if wanted(f"{name}: {query.panel}")
    }
    assert left

    def answered():
        for text in [text for text, asked in left.items() if has_data(urls, *asked)]:
            del left[text]
        return not left

    try:
        wait_for(answered, "data in every panel", within)
    except AssertionError:
        return list(left)
    return []


def resolved(prometheus, board, **chosen):
    """What each variable of a dashboard stands for at first: all that there is, or its text."""
    found = {}
    for variable in board["templating"]["list"]:
        if variable["type"] == "textbox":
            found[variable["name"]] = variable["query"]
        elif variable["type"] == "query":
            found[variable["name"]] = variable["allValue"]
            options(prometheus, *_LABELS.fullmatch(variable["query"]["query"]).groups())
    return {**found, **QUICKER, **chosen}


def options(prometheus, metric, label):
    """The values that a variable offers."""
    answer = httpx.get(
        f"{prometheus}/api/v1/label/{label}/values",
        params={"match[]": metric, "start": time.time() - BACK},
        timeout=60,
    )
    assert answer.status_code == 200, (metric, label, answer.text)
    return answer.json()["data"]


def has_data(urls, query, values):
    """Whether a query finds something; one that a server refuses is an error."""
    text, now = query.resolved(values), time.time()
    if query.source == "tempo":
        asked = {"q": text, "start": int(now - BACK), "end": int(now + 60)}
        answer = httpx.get(f"{urls['tempo']}/api/search", params=asked, timeout=60)
        assert answer.status_code == 200, (query.where, text, answer.text)
        return bool(answer.json()["traces"])
    # A zero that stands for nothing at all is no data.
    text = text.replace(" or vector(0)", "")
    asked = {"query": text, "start": now - BACK, "end": now, "step": STEP}
    answer = httpx.get(f"{urls['prometheus']}/api/v1/query_range", params=asked, timeout=60)
    assert answer.status_code == 200, (query.where, text, answer.text)
    series = answer.json()["data"]["result"]
    return any(value != "NaN" for each in series for _, value in each["values"])
