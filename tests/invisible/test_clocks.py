"""Users replace the clocks of their process; telemetry keeps its own."""

from __future__ import annotations

import time

import pytest
from comparing import run_cells

FREEZE = "import freezegun; freezegun.freeze_time('2012-01-14', real_asyncio=True, tick={}).start()"
TRAVEL = "import time_machine; time_machine.travel('2012-01-14', tick={}).start()"
LEFT_ON = {
    "freezegun": FREEZE.format(False),
    "freezegun, ticking": FREEZE.format(True),
    "time-machine": TRAVEL.format(False),
    "time-machine, ticking": TRAVEL.format(True),
}

# Dask itself hangs where time stands still.
CLUSTER = (
    "import distributed;"
    "client = distributed.Client(n_workers=1, processes=False, dashboard_address=':0')"
)


@pytest.mark.parametrize("tool", LEFT_ON)
def test_a_clock_that_is_left_replaced_changes_no_span(collector, payload, tmp_path, tool):
    """Cells show what they show in a plain kernel; spans and metrics have the real time."""
    cells = [
        "import datetime, time; print('before')",
        CLUSTER if tool == "time-machine, ticking" else "client = None",
        LEFT_ON[tool] + "; print(datetime.date.today())",
        "print(datetime.date.today(), time.gmtime().tm_year)",
        "print(client and sum(client.gather(client.map(abs, range(4)))))",
        "raise ValueError('theirs')",
    ]
    injection = {
        "PYTHONPATH": str(payload), **collector.settings, "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }  # fmt: skip
    began = time.time()
    plain, injected = (run_cells(tmp_path, env, cells) for env in [{}, injection])
    assert injected == plain
    assert plain[2] == "2012-01-14\n"
    collector.wait_for_spans(lambda spans: [s["name"] for s in spans].count("run cell") >= 6)
    for span in collector.spans():
        start, end = span["start"] / 1e9, span["end"] / 1e9
        assert began - 1 < start <= end < time.time() + 1, span["name"]
    for point in collector.points("jupyter.cell.duration"):
        assert began - 1 < point["time"] / 1e9 < time.time() + 1
        assert 0 <= point["value"]["sum"] < time.time() - began
