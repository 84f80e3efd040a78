"""What panels show: their queries with variables filled in, sent to real servers like Grafana."""

from __future__ import annotations

import json
import re
import shlex
import time

import httpx

from af_otel.grafana.dashboards import dashboards
from af_otel.grafana.queries import queries
from af_otel.grafana.sources import trace_store
from servers import wait_for

# "dashboard: panel" of those that only a cluster can fill; the others have data on one machine.
ON_A_CLUSTER = {
    "kubernetes: CPU",
    "kubernetes: Memory",
    "kubernetes: CPU of the ten busiest pods",
    "kubernetes: Memory of the ten largest pods",
    "kubernetes: Pods",
    "kubernetes: Container restarts",
    "kubernetes: CPU by namespace",
    "telemetry: Sampling decisions per second",
}
# These need a kubelet with disks. The tests' kubelet has none: it lives in a mount namespace, knows
# no file system for its root (its `stats/summary` says so), and so measures no volumes either.
ON_A_DISK = {
    "kubernetes: Disk",
    "kubernetes: Fullest volumes",
    "kubernetes: Used bytes of volumes",
}
# These need a Dask with crick, which has no wheel for Python 3.14.
WITH_CRICK = {
    "dask: `dask_worker_task_duration_median_seconds`",
    "dask: `dask_worker_transfer_bandwidth_median_bytes`",
}
BACK = 1800  # s before now in which something must have happened
STEP = 15
# Readers leave these unchanged; in tests everything is quicker, and began just now.
QUICKER = {"slower": "1ms", "__range": "900s"}
_LABELS = re.compile(r"label_values\((.+), (\w+)\)")


def empty(urls, wanted, within, http=httpx, **chosen):
    """The queries without data, with their panels; `wanted` selects panels, `chosen` variables."""
    boards = dashboards(traces=trace_store(urls))
    values = {
        name: resolved(urls["prometheus"], board, http, **chosen) for name, board in boards.items()
    }
    left = {
        f"{name}: {query.panel}: {query.resolved(values[name])}": (query, values[name])
        for name, board in boards.items()
        for query in queries(board)
        if wanted(f"{name}: {query.panel}")
    }
    assert left

    def answered():
        for text in [text for text, query in left.items() if has_data(urls, *query, http)]:
            del left[text]
        return not left

    try:
        wait_for(answered, "data in every panel", within)
    except AssertionError:
        return list(left)
    return []


def resolved(prometheus, board, http=httpx, **chosen):
    """The values of a dashboard's variables: what its reader chose, else the initial ones."""
    found = {}
    for variable in board["templating"]["list"]:
        name = variable["name"]
        if variable["type"] == "textbox":
            found[name] = variable["query"]
        elif variable["type"] == "custom":
            found[name] = variable["current"]["value"]
        elif variable["type"] == "query":
            metric, label = _LABELS.fullmatch(variable["query"]["query"]).groups()
            offered = options(prometheus, metric, label, http)
            found[name] = variable.get("allValue") or next(iter(offered), "")
    return {**found, **QUICKER, **chosen}


def options(prometheus, metric, label, http=httpx):
    """The values that a variable offers."""
    answer = http.get(
        f"{prometheus}/api/v1/label/{label}/values",
        params={"match[]": metric, "start": time.time() - BACK},
        timeout=60,
    )
    assert answer.status_code == 200, (metric, label, answer.text)
    return answer.json()["data"]


def has_data(urls, query, values, http=httpx):
    """Whether a query finds something; a query that a server rejects is an error."""
    text, now = query.resolved(values), time.time()
    if query.source == "jaeger":
        return bool(jaeger_traces(urls["jaeger"], text, now - BACK, now + 60, http))
    if query.source == "tempo":
        params = {"q": text, "start": int(now - BACK), "end": int(now + 60)}
        answer = http.get(f"{urls['tempo']}/api/search", params=params, timeout=60)
        assert answer.status_code == 200, (query.where, text, answer.text)
        return bool(answer.json()["traces"])
    # A zero that replaces a missing series is no data.
    text = text.replace(" or vector(0)", "")
    params = {"query": text, "start": now - BACK, "end": now, "step": STEP}
    answer = http.get(f"{urls['prometheus']}/api/v1/query_range", params=params, timeout=60)
    assert answer.status_code == 200, (query.where, text, answer.text)
    series = answer.json()["data"]["result"]
    return any(value != "NaN" for each in series for _, value in each["values"])


def jaeger_traces(jaeger, text, start, end, http=httpx):
    """The ids of the traces that a search finds, sent as Grafana's Jaeger data source sends it.

    It drops empty fields, converts the tags from logfmt to JSON, and sends times in microseconds.
    """
    params = {field: value for field, value in json.loads(text).items() if value}
    tags = dict(pair.split("=", 1) for pair in shlex.split(params["tags"]))
    times = {"start": int(start * 1e6), "end": int(end * 1e6), "lookback": "custom"}
    answer = http.get(
        f"{jaeger}/api/traces", params=params | times | {"tags": json.dumps(tags)}, timeout=60
    )
    assert answer.status_code == 200, (text, answer.text)
    return [trace["traceID"] for trace in answer.json()["data"]]
