"""An OTLP receiver that answers like Tempo, over HTTP and gRPC; Tempo itself cannot be run.

The answers are those that Tempo documents for its distributor, translated as its OTLP receiver
translates them. Only versions before 2.4 refuse a request with a trace that is too large; later
ones answer success and count the dropped spans in `tempo_discarded_spans_total`.
"""

from __future__ import annotations

import contextlib
import gzip
import http.server
import ssl
import threading
from concurrent import futures
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PROTOBUF = "application/x-protobuf"
TENANT = "x-scope-orgid"
# HTTP statuses of the OTLP receiver by gRPC status; any other is 500.
_HTTP = {
    StatusCode.OK: 200,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.UNIMPLEMENTED: 404,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.CANCELLED: 503,
    StatusCode.DEADLINE_EXCEEDED: 503,
    StatusCode.ABORTED: 503,
    StatusCode.OUT_OF_RANGE: 503,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DATA_LOSS: 503,
}


@dataclass(frozen=True)
class Answer:
    """The answer to one export request.

    Parameters
    ----------
    http
        The HTTP status, for answers of a proxy in front of Tempo; derived from `code` by default.
    retry_after
        Seconds before the client may retry: `RetryInfo` in gRPC, `Retry-After` in HTTP.
    rejected
        The number of spans that a partial success rejects: the last ones of the request.
    late
        Store the spans at once, but send the answer after the client's timeout.
    """

    code: StatusCode = StatusCode.OK
    message: str = ""
    http: int = 0
    retry_after: int | None = None
    rejected: int = 0
    late: bool = False

    @property
    def http_status(self) -> int:
        return self.http or _HTTP.get(self.code, 500)

    @property
    def status(self) -> Status:
        """The status as the body of an HTTP answer and the trailer of a gRPC answer."""
        number: int = self.code.value[0]
        status = Status(code=number, message=self.message)
        if self.retry_after is not None:
            detail = AnyMessage()
            detail.Pack(RetryInfo(retry_delay=Duration(seconds=self.retry_after)))
            status.details.append(detail)
        return status

    @property
    def body(self) -> ExportTraceServiceResponse:
        """The body of a successful answer."""
        if not self.rejected:
            return ExportTraceServiceResponse()
        partial = ExportTracePartialSuccess(
            rejected_spans=self.rejected, error_message=self.message
        )
        return ExportTraceServiceResponse(partial_success=partial)


SUCCESS = Answer()
_LIMIT = (
    "RATE_LIMITED: ingestion rate limit (local: 15000000 bytes, global: 0 bytes) exceeded "
    "while adding 2301 bytes for user casa"
)
# With `distributor.retry_after_on_resource_exhausted`: by default since Tempo 3.0.
RATE_LIMITED = Answer(StatusCode.RESOURCE_EXHAUSTED, _LIMIT, retry_after=1)
RATE_LIMITED_WITHOUT_RETRY = Answer(StatusCode.RESOURCE_EXHAUSTED, _LIMIT)
TRACE_TOO_LARGE = Answer(
    StatusCode.FAILED_PRECONDITION,
    "TRACE_TOO_LARGE: max size of trace (5000000) exceeded while adding 387 bytes "
    "to trace 0bad for tenant casa",
)
LIVE_TRACES_EXCEEDED = Answer(
    StatusCode.FAILED_PRECONDITION,
    "LIVE_TRACES_EXCEEDED: max live traces exceeded for tenant casa: per-user traces limit "
    "(local: 10000 global: 0 actual local: 10000) exceeded",
)
INVALID_TRACE_ID = Answer(StatusCode.INVALID_ARGUMENT, "trace ids must be 128 bit")
NO_INGESTERS = Answer(
    StatusCode.UNAVAILABLE, "at least 1 live replicas required, could only find 0"
)
PUSH_TIMED_OUT = Answer(StatusCode.DEADLINE_EXCEEDED, "context deadline exceeded")
PUSH_PANICKED = Answer(StatusCode.INTERNAL, "internal error")
# The receiver treats an error without a status as temporary.
NO_TENANT = Answer(StatusCode.UNAVAILABLE, "no org id")
# From a gateway that authenticates tenants.
UNKNOWN_TENANT = Answer(StatusCode.UNAUTHENTICATED, "unknown tenant")
READ_ONLY_TENANT = Answer(StatusCode.PERMISSION_DENIED, "tenant may not write")
# From a proxy in front of Tempo.
BODY_TOO_LARGE = Answer(StatusCode.RESOURCE_EXHAUSTED, "message is too large", http=413)
BAD_GATEWAY = Answer(StatusCode.UNAVAILABLE, "bad gateway", http=502)
GATEWAY_TIMEOUT = Answer(StatusCode.UNAVAILABLE, "gateway timeout", http=504)
# Part of OTLP, but never sent by Tempo itself.
PARTLY_REJECTED = Answer(message="one span was rejected", rejected=1)
TOO_LATE = Answer(late=True)


@dataclass(frozen=True)
class Request:
    """One export request and its answer; header names are in lower case."""

    protocol: str
    headers: Mapping[str, str]
    spans: tuple[str, ...]
    answer: Answer


@dataclass
class TempoReceiver:
    """The received requests and stored spans, and the answers to come. Thread-safe.

    A request gets the first answer that applies: for a missing or wrong tenant, the next one set by
    `answer` for one of its spans, or `always`.
    """

    tenant: str = ""  # the only one allowed; empty if multi-tenancy is off
    always: Answer = SUCCESS
    http_port: int = 0
    grpc_port: int = 0
    requests: list[Request] = field(default_factory=list)
    stored: dict[str, list[bytes]] = field(default_factory=dict)  # span ids by span name
    stopped: threading.Event = field(default_factory=threading.Event)
    _answers: dict[str, list[Answer]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, span: str, *answers: Answer) -> None:
        """Set the answers to the next requests that have a span of this name."""
        with self._lock:
            self._answers[span] = list(answers)

    @property
    def accepted(self) -> int:
        """The number of spans in requests that were answered with success and in time."""
        answers = [(request.answer, len(request.spans)) for request in self.requests]
        return sum(
            spans for answer, spans in answers if answer.http_status == 200 and not answer.late
        )

    def requests_with(self, span: str) -> list[Request]:
        """Return the requests that had a span of this name."""
        return [request for request in self.requests if span in request.spans]

    def receive(
        self, protocol: str, headers: Mapping[str, str], export: ExportTraceServiceRequest
    ) -> Answer:
        """Choose the answer to a request, and store the accepted spans."""
        spans = [
            span
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        names = tuple(span.name for span in spans)
        with self._lock:
            answer = self._decide(headers, names)
            self.requests.append(Request(protocol, headers, names, answer))
            if answer.code is StatusCode.OK:
                for span in spans[: len(spans) - answer.rejected]:
                    self.stored.setdefault(span.name, []).append(span.span_id)
        if answer.late:
            self.stopped.wait(30)
        return answer

    def _decide(self, headers: Mapping[str, str], spans: tuple[str, ...]) -> Answer:
        if self.tenant and TENANT not in headers:
            return NO_TENANT
        if self.tenant and headers[TENANT] != self.tenant:
            return UNKNOWN_TENANT
        for name in spans:
            if self._answers.get(name):
                return self._answers[name].pop(0)
        return self.always


@contextlib.contextmanager
def running_tempo_receiver(
    tenant: str = "", certificate: tuple[Path, Path] | None = None
) -> Iterator[TempoReceiver]:
    """Run a receiver on the loopback, over TLS if a certificate and its key are given."""
    receiver = TempoReceiver(tenant)
    with _http_server(receiver, certificate), _grpc_server(receiver, certificate):
        try:
            yield receiver
        finally:
            receiver.stopped.set()


@contextlib.contextmanager
def _http_server(receiver: TempoReceiver, certificate: tuple[Path, Path] | None) -> Iterator[None]:
    class Handler(_Handler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/v1/traces" or self.headers["Content-Type"] != PROTOBUF:
                self.reply(404, Status(message=f"cannot POST {self.path}"))
                return
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            export = ExportTraceServiceRequest.FromString(body)
            answer = receiver.receive("http", headers, export)
            content = answer.body if answer.http_status == 200 else answer.status
            self.reply(answer.http_status, content, answer.retry_after)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.http_port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status: int, content: Any, retry_after: int | None = None) -> None:
        """Send a protobuf message; ignore a client that has disconnected."""
        body = content.SerializeToString()
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", PROTOBUF)
            self.send_header("Content-Length", str(len(body)))
            if retry_after is not None:
                self.send_header("Retry-After", str(retry_after))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def _grpc_server(receiver: TempoReceiver, certificate: tuple[Path, Path] | None) -> Iterator[None]:
    class TraceService(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:  # noqa: N802 - OTLP's name
            answer = receiver.receive("grpc", dict(context.invocation_metadata()), request)
            if answer.code is not StatusCode.OK:
                details = answer.status.SerializeToString()
                context.set_trailing_metadata((("grpc-status-details-bin", details),))
                context.abort(answer.code, answer.message)
            return answer.body

    server = grpc.server(futures.ThreadPoolExecutor(8))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(TraceService(), server)
    if certificate:
        chain, key = (path.read_bytes() for path in certificate)
        credentials = grpc.ssl_server_credentials([(key, chain)])
        receiver.grpc_port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        receiver.grpc_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield
    finally:
        server.stop(1).wait(10)
