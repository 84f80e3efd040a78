"""What a panel shows: its queries with their variables resolved, asked of the real servers."""

from __future__ import annotations

import re
import time

import httpx

BACK = 1800  # s before now in which something must have happened
STEP = 15
_LABELS = re.compile(r"label_values\((.+), (\w+)\)")


def resolved(prometheus, board, **values):
    """What each variable of a dashboard stands for at first: all that there is, or its text."""
    found = {}
    for variable in board["templating"]["list"]:
        name = variable["name"]
        if variable["type"] == "textbox":
            found[name] = variable["query"]
        elif variable["type"] == "query":
            found[name] = variable["allValue"]
            metric, label = _LABELS.fullmatch(variable["query"]["query"]).groups()
            assert options(prometheus, metric, label) is not None, variable
    return {**found, **values}


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
    # A zero for nothing at all is no data.
    text = text.replace(" or vector(0)", "")
    asked = {"query": text, "start": now - BACK, "end": now, "step": STEP}
    answer = httpx.get(f"{urls['prometheus']}/api/v1/query_range", params=asked, timeout=60)
    assert answer.status_code == 200, (query.where, text, answer.text)
    series = answer.json()["data"]["result"]
    return any(value != "NaN" for each in series for _, value in each["values"])
