"""Users' own metrics: what they cost in memory, and where their limits are."""

from __future__ import annotations

import asyncio
import fractions
import math
import pickle
import sys
import threading
import tracemalloc
import warnings

import pytest

from af_otel import metrics
from af_otel.metrics import MetricsWarning, _registry, _warn
from af_otel.metrics._data import metrics as data


@pytest.fixture(autouse=True)
def _quiet():
    """Each test has its own names; that nothing listens in this process is said before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics.counter("first").add()
    # What another test was warned of, this one is told again.
    _warn._warned.clear()


def sums(name):
    """The value of each series of a metric, by its labels."""
    for metric in data(_registry._instruments, []):
        if metric.name == f"user.{name}":
            return {
                tuple(sorted(point.attributes.items())): getattr(point, "value", None)
                or getattr(point, "sum", 0)
                for point in metric.data.data_points
            }
    return {}


def test_the_same_labels_are_one_series_however_they_are_written():
    """The order of labels and a number's spelling make no difference."""
    metrics.counter("spelt").add(1, a="x", b=1)
    metrics.counter("spelt").add(2, b="1", a="x")
    assert sums("spelt") == {(("a", "x"), ("b", "1")): 3}


def test_ten_thousand_label_values_end_in_one_series():
    """The first 200 keep theirs; nothing of the rest is lost but what told them apart."""
    events = metrics.counter("many")

    def count():
        for number in range(10_000):
            events.add(1, number=number)

    with pytest.warns(MetricsWarning, match="more than 200 combinations"):
        count()
    found = sums("many")
    assert len(found) == 201
    assert found[("otel.metric.overflow", "true"),] == 9800
    assert sum(found.values()) == 10_000


class Failing:
    """Whatever it is asked for, it raises, as a scalar of a device that is gone."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    __repr__ = __str__ = __float__ = __hash__ = __eq__ = lambda self, *_: self.gone


def kind(value):
    return type(value).__name__


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), "text", None, [1], 10**400, 1j, fractions.Fraction(10**400),
     Failing()],
    ids=kind,
)  # fmt: skip
def test_what_is_no_finite_number_is_left_out(value):
    """A warning names the metric; what was there stays."""
    for instrument, record in (
        (metrics.counter("odd.counter"), metrics.Counter.add),
        (metrics.gauge("odd.gauge"), metrics.Gauge.set),
        (metrics.histogram("odd.histogram"), metrics.Histogram.record),
    ):
        record(instrument, 1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            record(instrument, value)
        assert all(instrument.name in str(warning.message) for warning in caught)
        assert sums(instrument.name.removeprefix("user."))[()] == int(
            sums(instrument.name.removeprefix("user."))[()]
        )


# A number so long is no text for those Pythons that have a limit for that.
LONG = pytest.param(
    10**5000,
    marks=pytest.mark.skipif(not hasattr(sys, "get_int_max_str_digits"), reason="has no limit"),
    id="int",
)


@pytest.mark.parametrize("label", [None, b"x", {}, LONG, Failing()], ids=kind)
def test_a_label_of_a_wrong_type_costs_no_number(label):
    """It is left out, whatever asking it for its text or its hash does."""
    metrics.counter("label.types").add(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metrics.counter("label.types").add(1, wrong=label)
    assert "label `wrong` is" in str(caught[0].message)
    assert sums("label.types").keys() == {()}


def test_what_counts_as_a_number_of_other_libraries_is_one():
    """NumPy's scalars and arrays of one value, as a loss often is."""
    numpy = pytest.importorskip("numpy")
    metrics.gauge("numpy").set(numpy.float32(0.5))
    metrics.counter("numpy.int").add(numpy.int64(7), kind=numpy.int64(3))
    metrics.gauge("numpy.array").set(numpy.array([2.5]))
    assert sums("numpy") == {(): 0.5}
    assert sums("numpy.int") == {(("kind", "3"),): 7}
    assert sums("numpy.array") == {(): 2.5}


def test_labels_may_come_as_opentelemetry_takes_them():
    """In a mapping; what is none is told and costs nothing of the rest."""
    metrics.counter("mapped", "{event}", "Events").add(1, {"sample": "ttbar"}, run=2)
    metrics.gauge("mapped.gauge").set(1, {"sample": "ttbar"})
    metrics.histogram("mapped.histogram").record(1, None)
    with metrics.timer("mapped.timer", {"step": "fit"}):
        pass
    labels = (("run", "2"), ("sample", "ttbar"))
    assert sums("mapped") == {labels: 1}
    assert sums("mapped.gauge") == {(("sample", "ttbar"),): 1}
    assert list(sums("mapped.timer")) == [(("outcome", "ok"), ("step", "fit"))]
    with pytest.warns(MetricsWarning, match="takes no str there"):
        metrics.counter("mapped").add(1, "sample", sample="ttbar", run=2)
    with pytest.warns(MetricsWarning, match="1 is no name for a label"):
        metrics.counter("mapped").add(1, {1: "x"}, sample="ttbar", run=2)
    assert sums("mapped") == {labels: 3}


def test_a_counter_does_not_fall():
    """It says what to use instead."""
    metrics.counter("falling").add(3)
    with pytest.warns(MetricsWarning, match="use a gauge"):
        metrics.counter("falling").add(-1)
    assert sums("falling") == {(): 3}


def test_a_label_that_cannot_be_one_is_left_out_alone():
    """The number is valid, so it is kept under its other labels."""
    with pytest.warns(MetricsWarning, match="label `cuts` is a list"):
        metrics.counter("labelled").add(2, cuts=[1, 2], sample="ttbar")
    assert sums("labelled") == {(("sample", "ttbar"),): 2}
    with pytest.warns(MetricsWarning, match="cut after 128"):
        metrics.counter("labelled").add(2, long="x" * 1000)
    with pytest.warns(MetricsWarning, match="Prometheus' own"):
        metrics.counter("labelled.job").add(1, job="mine")
    assert sums("labelled.job") == {(("exported_job", "mine"),): 1}
    with pytest.warns(MetricsWarning, match="more than 10 labels"):
        metrics.counter("labelled.often").add(1, **{f"l{n}": n for n in range(20)})


@pytest.mark.parametrize(
    "name", ["", "9lives", "with space", "x" * 101, None, 3, "ä", "user.", Failing()], ids=kind
)
def test_a_name_that_cannot_be_one_goes_nowhere(name):
    """The calls on what it returns do nothing, and do not raise."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        metrics.counter(name).add(1)
        metrics.gauge(name).set(1)
        metrics.histogram(name).record(1)
        with metrics.timer(name):
            pass
    assert not [one for one in _registry._instruments if "nowhere" in one or not one]


def test_a_second_kind_is_another_metric():
    """Both keep what they were given."""
    metrics.counter("twice").add(1)
    with pytest.warns(MetricsWarning, match="is a counter already"):
        metrics.gauge("twice").set(5)
    assert sums("twice") == {(): 1}
    assert sums("twice.gauge") == {(): 5}


def test_names_that_are_one_in_prometheus_do_not_mix():
    """`x` as a counter and `x.total` as a gauge would both be `user_x_total`."""
    metrics.counter("clash").add(1)
    with pytest.warns(MetricsWarning, match="would be `user_clash_total`"):
        metrics.gauge("clash.total").set(5)
    metrics.histogram("spread", unit="s").record(1)
    with pytest.warns(MetricsWarning, match="user_spread_seconds_count"):
        metrics.gauge("spread.seconds.count").set(5)


def test_a_name_of_the_facility_is_the_users_own():
    """It cannot be the facility's series; the warning tells what it is."""
    with pytest.warns(MetricsWarning, match="yours is `user_dask_task_duration`"):
        metrics.gauge("dask.task.duration").set(1)
    assert sums("dask.task.duration") == {(): 1}


def test_buckets_that_are_none_are_the_default():
    """Rising numbers, 50 at most."""
    with pytest.warns(MetricsWarning, match="rising numbers"):
        metrics.histogram("unsorted", buckets=[3, 1, 2]).record(2)
    assert sums("unsorted") == {(): 2}


def test_the_last_bucket_of_prometheus_client_is_everybodys():
    """`le="+Inf"` is there anyhow; twice, and Prometheus refuses the histogram."""
    assert metrics.histogram("endless", buckets=[1, 2, math.inf]).boundaries == (1, 2)
    for number, odd in enumerate(([1, math.nan], [-math.inf, 1], [10**400])):
        with pytest.warns(MetricsWarning, match="rising numbers"):
            metrics.histogram(f"endless{number}", buckets=odd).record(2)


def test_a_unit_that_is_no_text_is_none():
    """Also where it is needed to name what clashes."""
    metrics.counter("unit.odd", unit=b"s").add(1)
    with pytest.warns(MetricsWarning, match="another metric"):
        metrics.gauge("unit.odd", unit=["s"]).set(5)
    assert sums("unit.odd.gauge") == {(): 5}


def test_what_counts_while_it_is_counted_does_not_wait_for_itself():
    """As a finalizer, a signal's handler or a label's text may."""

    class Counting(int):
        def __str__(self):
            metrics.counter("reentrant").add(1)
            return "text"

    thread = threading.Thread(
        target=lambda: metrics.counter("reentrant").add(1, label=Counting()), daemon=True
    )
    thread.start()
    thread.join(30)
    assert sums("reentrant") == {(): 1, (("label", "text"),): 1}


def test_warnings_as_errors_do_not_reach_the_analysis():
    """`python -W error` is no reason to stop a fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.gauge("strict").set("text")


def test_threads_count_what_they_count():
    """No addition is lost between them."""
    events = metrics.counter("threads")

    def add():
        for _ in range(5000):
            events.add(1, a="x")
            metrics.histogram("threads.spread").record(1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums("threads") == {(("a", "x"),): 20_000}
    assert sums("threads.spread") == {(): 20_000}


def test_a_timer_times_blocks_functions_and_what_fails():
    """By outcome, also around itself."""
    timed = metrics.timer("timed", step="fit")

    @timed
    def recurse(depth):
        if depth:
            recurse(depth - 1)

    recurse(2)
    with pytest.raises(ValueError, match="own"), metrics.timer("timed", step="fit"):
        raise ValueError("own")
    histogram = _registry._instruments["user.timed"]
    counts = {series.labels["outcome"]: series.count for series in histogram.series()}
    assert counts == {"ok": 3, "error": 1}


def test_one_timer_times_many_coroutines():
    """Each its own time, in whichever order they end."""
    timed = metrics.timer("timed.async", value="any label")
    histogram = _registry._instruments["user.timed.async"]

    async def step(began, end):
        with timed:
            began.set()
            await end.wait()
        return [series.value for series in histogram.series()]

    async def main():
        began, end = [asyncio.Event() for _ in "ab"], [asyncio.Event() for _ in "ab"]
        first = asyncio.ensure_future(step(began[0], end[0]))
        await began[0].wait()
        await asyncio.sleep(0.2)
        second = asyncio.ensure_future(step(began[1], end[1]))
        await began[1].wait()
        end[0].set()
        (took,) = await first
        end[1].set()
        await second
        return took

    assert asyncio.run(main()) >= 0.2


def test_a_timer_that_ends_elsewhere_does_not_raise():
    """As of a generator that another thread closes."""
    with pytest.warns(MetricsWarning, match="not begun here"):
        metrics.timer("timed.elsewhere").__exit__(None, None, None)


def test_an_instrument_travels_by_name():
    """As a Dask task's closure does; in the process it comes to, it is that one's own."""
    events = metrics.counter("travels", unit="By")
    assert pickle.loads(pickle.dumps(events)) is events
    longest = metrics.counter("x" * 100)
    assert pickle.loads(pickle.dumps(longest)) is longest
    assert isinstance(pickle.loads(pickle.dumps(metrics.timer("travels.time"))), metrics.Timer)


def test_a_million_calls_keep_the_memory_they_began_with():
    """Whatever is recorded is summed."""
    events, spread = metrics.counter("million"), metrics.histogram("million.spread")
    run = metrics.training("million")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        def record(times):
            for number in range(times):
                events.add(1, sample=number % 1000)
                spread.record(number)
                if number % 10 == 0:
                    run.log(loss=number)

        tracemalloc.start()
        record(500_000)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # 20,000 points of the training that nobody takes, and 201 series.
    assert used < 5_000_000
