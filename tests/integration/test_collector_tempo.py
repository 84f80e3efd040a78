"""Export of traces from the Collector to Tempo: drops, retries, tenants and TLS."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest
import tempo_receiver as tempo
import yaml
from cluster.certificates import Authority
from gateways import NO_CLUSTER, running_gateway, self_metrics
from otlp import new_span
from tempo_receiver import running_tempo_receiver

from af_otel.collector import credentials, destinations
from af_otel.facility import Facility
from servers import ROOT, free_port, running_collector, wait_for

if TYPE_CHECKING:
    from tempo_receiver import TempoReceiver

    from servers import Collector

LOCAL = (ROOT / "collector-config" / "base.yaml", ROOT / "collector-config" / "local.yaml")
# As collector-config/local.yaml names them.
LOCAL_EXPORTER = "otlp_http/traces"
LOCAL_ENDPOINT = "AF_OTEL_TRACES_OTLP"
TENANT = "casa"

# Permanent refusals, with either protocol.
PERMANENT = {
    "trace too large": tempo.TRACE_TOO_LARGE,
    "live traces exceeded": tempo.LIVE_TRACES_EXCEEDED,
    "invalid trace id": tempo.INVALID_TRACE_ID,
    "unknown tenant": tempo.UNKNOWN_TENANT,
    "read-only tenant": tempo.READ_ONLY_TENANT,
    "body too large": tempo.BODY_TOO_LARGE,
    "panic": tempo.PUSH_PANICKED,
}
# By default, the Collector logs ten equal lines in ten seconds, and leaves out the next 99.
EVERY_LINE = {"logs": {"sampling": {"enabled": False}}}
# Temporary refusals, with either protocol.
TEMPORARY = {
    "rate limited": tempo.RATE_LIMITED,
    "no ingesters": tempo.NO_INGESTERS,
    "push timed out": tempo.PUSH_TIMED_OUT,
    "bad gateway": tempo.BAD_GATEWAY,
    "gateway timeout": tempo.GATEWAY_TIMEOUT,
}


@dataclass
class Sender:
    """A Collector whose `exporter` sends traces to `receiver`."""

    collector: Collector
    receiver: TempoReceiver
    exporter: str
    _later: int = field(default=0, init=False)

    def send(self, *names: str) -> None:
        """Send one trace per name, with a single span of that name."""
        self.collector.send(*(new_span(name) for name in names))

    def wait_until_stored(self, *names: str) -> None:
        """Wait for a span of each name."""
        wait_for(lambda: set(names) <= set(self.receiver.stored), f"stored: {', '.join(names)}")

    def check_that_others_pass(self) -> None:
        """Send another trace and wait until it is stored."""
        self._later += 1
        name = f"later {self._later}"
        self.send(name)
        self.wait_until_stored(name)

    def count(self, metric: str) -> int:
        """Return the value of one of the exporter's counters, summed over its labels."""
        label = f'exporter="{self.exporter}"'
        metrics = self_metrics(self.collector).items()
        prefix = f"otelcol_exporter_{metric}"
        return int(sum(value for key, value in metrics if key.startswith(prefix) and label in key))

    def logged(self, *words: str) -> list[str]:
        """Return the lines of the Collector's log with all of these words."""
        lines = self.collector.log.read_text(errors="replace").splitlines()
        return [line for line in lines if all(word in line for word in words)]


def hurried(exporter: str, **settings: object) -> dict[str, object]:
    """Return an overlay with short timeouts and retry intervals for an exporter."""
    retry = {"initial_interval": "20ms", "max_interval": "200ms"}
    return {"exporters": {exporter: {"timeout": "5s", "retry_on_failure": retry, **settings}}}


@contextlib.contextmanager
def running_cluster_sender(directory, receiver, protocol, *, scheme="http", tls=None):
    """Run a cluster's Collector for a facility.yaml whose Tempo is the receiver."""
    port = receiver.grpc_port if protocol == "grpc" else receiver.http_port
    store = {
        "endpoint": f"{scheme}://127.0.0.1:{port}",
        "protocol": protocol,
        "headers": {"X-Scope-OrgID": {"secret": "tempo", "key": "tenant"}},
    }
    facility = Facility.model_validate({
        "name": "testing",
        "hub": {"namespace": "jhub"},
        "destinations": {
            "traces": {"tempo": {**store, "tls": tls} if tls else store},
            "metrics": {"remote_write": {"endpoint": f"http://127.0.0.1:{free_port()}/write"}},
        },
    })  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    config = destinations.overlay(facility)
    (exporter,) = config["service"]["pipelines"]["traces/undecided"]["exporters"]
    # Without the sampler, which holds each trace for a second or two.
    undecided = {"processors": ["transform/stored", "batch"]}
    faster = {
        **hurried(exporter, sending_queue={"num_consumers": 2}),
        "processors": {
            "batch": {"timeout": "10ms", "send_batch_size": 1, "send_batch_max_size": 1}
        },
        "service": {"telemetry": EVERY_LINE, "pipelines": {"traces/undecided": undecided}},
    }
    text = yaml.safe_dump(config).replace(credentials.DIRECTORY, str(directory))
    overlays = [write(directory / "facility.yaml", text)]
    overlays.append(write(directory / "faster.yaml", yaml.safe_dump(faster)))
    env = {item["name"]: TENANT for item in credentials.secret_env(facility)}
    with running_gateway(directory, env, (*overlays, NO_CLUSTER)) as collector:
        yield Sender(collector, receiver, exporter)


@contextlib.contextmanager
def running_local_sender(directory, receiver):
    """Run the Collector of `af-otel up` with the receiver as its trace store."""
    directory.mkdir(parents=True, exist_ok=True)
    batch = {"sizer": "items", "flush_timeout": "10ms", "min_size": 1, "max_size": 1}
    queue = {"num_consumers": 2, "batch": batch}
    nowhere = {"exporters": ["debug"]}
    metrics = ("metrics/scraped", "metrics/histograms", "metrics/points")
    faster = {
        **hurried(LOCAL_EXPORTER, sending_queue=queue),
        "service": {"telemetry": EVERY_LINE, "pipelines": dict.fromkeys(metrics, nowhere)},
    }
    overlay = write(directory / "faster.yaml", yaml.safe_dump(faster))
    env = {LOCAL_ENDPOINT: f"http://127.0.0.1:{receiver.http_port}"}
    with running_collector(directory, (*LOCAL, overlay), env) as collector:
        yield Sender(collector, receiver, LOCAL_EXPORTER)


def write(path, text):
    """Write a file and return its path."""
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def cluster_http(tmp_path_factory):
    with running_tempo_receiver(TENANT) as receiver:
        directory = tmp_path_factory.mktemp("cluster-http")
        with running_cluster_sender(directory, receiver, "http") as sender:
            yield sender


@pytest.fixture(scope="module")
def cluster_grpc(tmp_path_factory):
    with running_tempo_receiver(TENANT) as receiver:
        directory = tmp_path_factory.mktemp("cluster-grpc")
        with running_cluster_sender(directory, receiver, "grpc") as sender:
            yield sender


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    with running_tempo_receiver() as receiver:
        with running_local_sender(tmp_path_factory.mktemp("local"), receiver) as sender:
            yield sender


@pytest.fixture(params=["cluster_http", "cluster_grpc", "local"])
def sender(request):
    """A Collector of each configuration: cluster over HTTP, cluster over gRPC, local."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["cluster_http", "cluster_grpc"])
def cluster(request):
    """A cluster's Collector over each protocol."""
    return request.getfixturevalue(request.param)


def test_permanent_refusal_drops_the_trace(sender):
    """A permanently refused trace is sent once, dropped, counted and logged; later traces pass."""
    failed = sender.count("send_failed_spans")
    for name, answer in PERMANENT.items():
        sender.receiver.answer(name, *[answer] * 5)
    sender.send(*PERMANENT)
    wait_for(lambda: sender.count("send_failed_spans") >= failed + len(PERMANENT), "all refused")
    sender.check_that_others_pass()

    sent = {name: len(sender.receiver.requests_with(name)) for name in PERMANENT}
    assert sent == dict.fromkeys(PERMANENT, 1)
    assert not set(PERMANENT) & set(sender.receiver.stored)
    assert sender.count("send_failed_spans") == failed + len(PERMANENT)
    for answer in PERMANENT.values():
        assert sender.logged("Dropping data", answer.message)


def test_temporary_refusal_is_retried(sender):
    """A temporarily refused trace is retried until it is stored, and is stored once."""
    failed = sender.count("send_failed_spans")
    for name, answer in TEMPORARY.items():
        sender.receiver.answer(name, answer, answer)
    sender.send(*TEMPORARY)
    sender.wait_until_stored(*TEMPORARY)
    sender.check_that_others_pass()

    sent = {name: len(sender.receiver.requests_with(name)) for name in TEMPORARY}
    assert sent == dict.fromkeys(TEMPORARY, 3)
    assert {len(sender.receiver.stored[name]) for name in TEMPORARY} == {1}
    assert sender.count("send_failed_spans") == failed
    assert sender.logged("Throttle (1s)", "RATE_LIMITED"), "Tempo's delay is ignored"


def test_nothing_is_lost_in_an_outage(sender):
    """All traces that were sent during an outage are stored after it, in any order."""
    failed = sender.count("send_failed_spans")
    names = [f"in the outage {number}" for number in range(50)]
    sender.receiver.always = tempo.NO_INGESTERS
    for name in names:
        sender.send(name)
    refused = len(sender.receiver.requests)
    wait_for(lambda: len(sender.receiver.requests) > refused + 5, "more attempts")
    assert not set(names) & set(sender.receiver.stored)
    sender.receiver.always = tempo.SUCCESS
    sender.wait_until_stored(*names)

    assert {len(sender.receiver.stored[name]) for name in names} == {1}
    assert sender.count("send_failed_spans") == failed


@pytest.mark.parametrize("name", ["cluster_http", "local"])
def test_rate_limit_without_a_delay_is_retried_over_http(request, name):
    """Over HTTP, 429 is retried even without `Retry-After`."""
    sender = request.getfixturevalue(name)
    sender.receiver.answer("no delay", tempo.RATE_LIMITED_WITHOUT_RETRY)
    sender.send("no delay")
    sender.wait_until_stored("no delay")

    assert len(sender.receiver.requests_with("no delay")) == 2


def test_rate_limit_without_a_delay_is_dropped_over_grpc(cluster_grpc):
    """Over gRPC, the Collector treats ResourceExhausted without `RetryInfo` as permanent.

    Tempo before 3.0 answers like this by default. To lose no spans, send over HTTP, or set Tempo's
    `distributor.retry_after_on_resource_exhausted`.
    """
    failed = cluster_grpc.count("send_failed_spans")
    cluster_grpc.receiver.answer("no delay", tempo.RATE_LIMITED_WITHOUT_RETRY)
    cluster_grpc.send("no delay")
    wait_for(lambda: cluster_grpc.count("send_failed_spans") == failed + 1, "the drop")
    cluster_grpc.check_that_others_pass()

    assert "no delay" not in cluster_grpc.receiver.stored
    assert len(cluster_grpc.receiver.requests_with("no delay")) == 1


def test_partial_success_is_not_retried(sender):
    """Spans rejected by a partial success are dropped with a warning, but counted as sent."""
    failed = sender.count("send_failed_spans")
    sender.receiver.answer("rejected", tempo.PARTLY_REJECTED)
    sender.send("rejected")
    wait_for(lambda: sender.logged("Partial success", tempo.PARTLY_REJECTED.message), "a warning")
    sender.check_that_others_pass()

    assert len(sender.receiver.requests_with("rejected")) == 1
    assert "rejected" not in sender.receiver.stored
    assert sender.count("send_failed_spans") == failed
    wait_for(lambda: sender.count("sent_spans") == sender.receiver.accepted, "all counted as sent")


def test_late_answer_is_retried(cluster):
    """A request that timed out is retried, so its spans may be stored twice, with the same ids."""
    cluster.receiver.answer("late", tempo.TOO_LATE)
    cluster.send("late")
    cluster.check_that_others_pass()
    wait_for(lambda: len(cluster.receiver.stored["late"]) == 2, "the second attempt")

    assert len(set(cluster.receiver.stored["late"])) == 1


def test_every_request_names_the_tenant(cluster):
    """The tenant header of facility.yaml is on every request, including retries."""
    cluster.receiver.answer("for a tenant", tempo.NO_INGESTERS)
    cluster.send("for a tenant")
    cluster.wait_until_stored("for a tenant")

    requests = cluster.receiver.requests
    assert len(cluster.receiver.requests_with("for a tenant")) == 2
    assert {request.headers.get(tempo.TENANT) for request in requests} == {TENANT}


def test_wrong_tenant_drops_the_trace(cluster):
    """A gateway's 401 for an unknown tenant is permanent: the trace is dropped and counted."""
    failed = cluster.count("send_failed_spans")
    cluster.receiver.tenant = "other"
    cluster.send("unwelcome")
    wait_for(lambda: cluster.count("send_failed_spans") == failed + 1, "the drop")
    cluster.receiver.tenant = TENANT
    cluster.check_that_others_pass()

    (refused,) = cluster.receiver.requests_with("unwelcome")
    assert refused.answer == tempo.UNKNOWN_TENANT
    assert "unwelcome" not in cluster.receiver.stored


def test_missing_tenant_is_retried(local):
    """A missing tenant is a temporary error in Tempo, so traces wait until that is fixed."""
    failed = local.count("send_failed_spans")
    local.receiver.tenant = TENANT
    local.send("without tenant")
    wait_for(lambda: len(local.receiver.requests_with("without tenant")) > 2, "more attempts")
    assert "without tenant" not in local.receiver.stored
    local.receiver.tenant = ""
    local.wait_until_stored("without tenant")

    assert local.count("send_failed_spans") == failed
    assert local.logged("Will retry", tempo.NO_TENANT.message)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_private_authority_must_be_configured(tmp_path, protocol):
    """Without `tls.ca` nothing arrives and the log says why; once it is set, waiting traces do."""
    authority = Authority(tmp_path / "authority")
    authority.issue("tempo", "tempo", hosts=["127.0.0.1"])
    files = (tmp_path / "authority" / "tempo.crt", tmp_path / "authority" / "tempo.key")
    directory = tmp_path / "collector"
    mounted = directory / "traces-ca"
    mounted.mkdir(parents=True)
    (mounted / "ca.crt").write_bytes((tmp_path / "authority" / "ca.crt").read_bytes())

    with running_tempo_receiver(TENANT, files) as receiver:
        send_to = partial(running_cluster_sender, directory, receiver, protocol, scheme="https")
        with send_to() as sender:
            sender.send("waiting")
            wait_for(lambda: sender.logged("signed by unknown authority"), "the reason")
            assert not receiver.requests
        with send_to(tls={"ca": {"secret": "tempo-ca"}}) as sender:
            sender.wait_until_stored("waiting")

    assert {request.headers.get(tempo.TENANT) for request in receiver.requests} == {TENANT}
