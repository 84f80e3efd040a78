"""Record the spans of the user's OpenTelemetry API as ours."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

from af_otel.runtime._bridge._harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextvars import Token

    from af_otel.runtime._budget import Budget
    from af_otel.runtime._lazy import LazyTracer


def join(api: Any, traces: Any) -> None:
    own: Any = trace
    if api is own:  # exposed
        if api._TRACER_PROVIDER is None:  # noqa: SLF001
            api._TRACER_PROVIDER = traces  # noqa: SLF001
        return
    spans = _Spans(api)
    tracers: dict[tuple[Any, ...], Any] = {}
    plain = vars(api.ProxyTracer)["_tracer"]

    def tracer(self: Any) -> Any:
        if self._real_tracer is not None or api._TRACER_PROVIDER is not None:  # noqa: SLF001
            return plain.fget(self)
        scope = (
            self._instrumenting_module_name,
            self._instrumenting_library_version,
            self._schema_url,
        )
        if scope not in tracers:
            tracers[scope] = spans.tracer(traces.get_tracer(*scope))
        return tracers[scope]

    api.ProxyTracer._tracer = property(tracer)  # noqa: SLF001
    context._RUNTIME_CONTEXT = _shared(spans)  # noqa: SLF001


def _shared(spans: _Spans) -> ContextVarsRuntimeContext:
    """Return our runtime context, in which the user's current span is current as well."""
    current = context._RUNTIME_CONTEXT  # noqa: SLF001
    if type(current) is ContextVarsRuntimeContext:
        current.__class__ = _SharedContext
        current.spans = spans  # type: ignore[attr-defined]
    return current  # type: ignore[return-value]


# The user's span that was current when a context of ours was attached.
_SEEN = "af_otel-users-span"


class _SharedContext(ContextVarsRuntimeContext):
    """Whichever span was made current last, the user's or ours, is the current one."""

    spans: _Spans

    def get_current(self) -> Context:
        current = super().get_current()
        theirs = self.spans.current()
        if theirs is current.get(_SEEN):
            return current
        span = trace.INVALID_SPAN if theirs is None else self.spans.ours(theirs)
        return trace.set_span_in_context(span, Context({**current, _SEEN: theirs}))

    def attach(self, context: Context) -> Token[Context]:
        theirs = self.spans.current()
        if theirs is not context.get(_SEEN):
            context = Context({**context, _SEEN: theirs})
        return super().attach(context)


class _Spans:
    """Converts between the spans of the user's API and ours."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self._our_context = context._RUNTIME_CONTEXT._current_context  # type: ignore[attr-defined]  # noqa: SLF001
        self._last: tuple[Context | None, int] = (None, 0)
        self._span = _span_class(self)
        self._tracer = _tracer_class(self)

    def tracer(self, ours: LazyTracer) -> Any:
        """Return a tracer of the user's API that records with ours."""
        return self._tracer(ours)

    def current(self) -> Any:
        """Return the user's current span, or None."""
        span = self.api.get_current_span()
        return None if span is self.api.INVALID_SPAN else span

    def ours(self, span: Any) -> trace.Span:
        """Return our span for one of the user's."""
        if isinstance(span, self._span):
            ours: trace.Span = span.af_otel_span
            return ours
        return trace.NonRecordingSpan(self.our_context(span.get_span_context()))

    def theirs(self, span: trace.Span) -> Any:
        """Return a span of the user's API for one of ours."""
        return self._span(span)

    def our_context(self, theirs: Any) -> trace.SpanContext:
        return trace.SpanContext(
            theirs.trace_id,
            theirs.span_id,
            theirs.is_remote,
            trace.TraceFlags(int(theirs.trace_flags)),
            trace.TraceState(list(theirs.trace_state.items())),
        )

    def their_context(self, ours: trace.SpanContext) -> Any:
        api = self.api
        return api.SpanContext(
            ours.trace_id,
            ours.span_id,
            ours.is_remote,
            api.TraceFlags(int(ours.trace_flags)),
            api.TraceState(list(ours.trace_state.items())),
        )

    def our_links(self, links: Iterable[Any] | None) -> list[trace.Link]:
        return [trace.Link(self.our_context(one.context), one.attributes) for one in links or ()]

    def left_out(self, budget: Budget, context: Any) -> Any:
        """Return what stands for a span that its trace has no room for; None if there is room.

        It is the span around it, as without us.
        """
        span = self.api.get_current_span(context)
        if type(span) is self._span:
            room = not budget.leaves_out(span.af_otel_trace_id)
            return None if room else self.api.NonRecordingSpan(span.get_span_context())
        if span is not self.api.INVALID_SPAN:
            return span if budget.leaves_out(span.get_span_context().trace_id) else None
        if context is not None:
            return None  # the root of a trace
        return span if budget.leaves_out(self._our_trace_id()) else None

    def _our_trace_id(self) -> int:
        """Return the trace of our current span, where none of the user's is current."""
        current = self._our_context.get()
        known, trace_id = self._last
        if current is not known:
            trace_id = trace.get_current_span().get_span_context().trace_id
            self._last = current, trace_id
        return trace_id

    def parent(self, theirs: Any) -> Context | None:
        """Return our context for one that a user passes; None is the current one."""
        if theirs is None:
            return None
        span = self.api.get_current_span(theirs)
        return trace.set_span_in_context(
            trace.INVALID_SPAN if span is self.api.INVALID_SPAN else self.ours(span), Context()
        )


def _span_class(spans: _Spans) -> type[Any]:  # noqa: C901 - one method for each of the API's
    api = spans.api

    class Span(api.Span):  # type: ignore[misc,name-defined]
        """A span of the user's API that is recorded as one of ours."""

        def __init__(self, span: trace.Span) -> None:
            self.af_otel_span = span
            self.af_otel_trace_id = span.get_span_context().trace_id
            self._context: Any = None

        @harmless
        def end(self, end_time: int | None = None) -> None:
            self.af_otel_span.end(end_time)

        def get_span_context(self) -> Any:
            if self._context is None:
                self._context = spans.their_context(self.af_otel_span.get_span_context())
            return self._context

        @harmless
        def set_attributes(self, attributes: Any) -> None:
            self.af_otel_span.set_attributes(attributes)

        @harmless
        def set_attribute(self, key: str, value: Any) -> None:
            self.af_otel_span.set_attribute(key, value)

        @harmless
        def add_event(
            self, name: str, attributes: Any = None, timestamp: int | None = None
        ) -> None:
            self.af_otel_span.add_event(name, attributes, timestamp)

        @harmless
        def add_link(self, context: Any, attributes: Any = None) -> None:
            self.af_otel_span.add_link(spans.our_context(context), attributes)

        @harmless
        def update_name(self, name: str) -> None:
            self.af_otel_span.update_name(name)

        def is_recording(self) -> bool:
            return self.af_otel_span.is_recording()

        @harmless
        def set_status(self, status: Any, description: str | None = None) -> None:
            if isinstance(status, api.Status):
                status, description = status.status_code, status.description
            self.af_otel_span.set_status(trace.StatusCode[status.name], description)

        @harmless
        def record_exception(
            self,
            exception: BaseException,
            attributes: Any = None,
            timestamp: int | None = None,
            escaped: bool = False,
        ) -> None:
            self.af_otel_span.record_exception(exception, attributes, timestamp, escaped)

        def __reduce__(self) -> tuple[Any, ...]:
            # What it would be without us.
            return api.NonRecordingSpan, (self.get_span_context(),)

    return Span


def _tracer_class(spans: _Spans) -> type[Any]:  # noqa: C901 - one method for each of the API's
    api = spans.api
    # Of later versions; it also decorates coroutines.
    decorated = getattr(api, "_agnosticcontextmanager", contextmanager)

    class Tracer(api.Tracer):  # type: ignore[misc,name-defined]
        """A tracer of the user's API that records with one of ours."""

        def __init__(self, ours: LazyTracer) -> None:
            self._ours = ours
            # Gives what the user would have without us.
            self._none = api.NoOpTracer()
            self._budget: Budget | None = None

        def _left_out(self, context: Any) -> Any:
            budget = self._budget
            if budget is None:
                budget = self._budget = self._ours.budget
            return None if budget is None else spans.left_out(budget, context)

        def start_span(
            self,
            name: str,
            context: Any = None,
            kind: Any = api.SpanKind.INTERNAL,
            attributes: Any = None,
            links: Any = None,
            start_time: int | None = None,
            record_exception: bool = True,
            set_status_on_exception: bool = True,
        ) -> Any:
            left_out = self._left_out(context)
            if left_out is not None:
                return left_out
            return self._start_span(
                name,
                context,
                kind,
                attributes,
                links,
                start_time,
                record_exception,
                set_status_on_exception,
            )

        def _start_span(self, name: str, context: Any, *rest: Any) -> Any:
            span = self._start(name, context, *rest)
            return self._none.start_span(name, context) if span is None else span

        @harmless
        def _start(
            self, name: str, context: Any, kind: Any, attributes: Any, links: Any, *rest: Any
        ) -> Any:
            return spans.theirs(
                self._ours.start_span(
                    name,
                    spans.parent(context),
                    trace.SpanKind[kind.name],
                    attributes,
                    spans.our_links(links),
                    *rest,
                )
            )

        def start_as_current_span(
            self, name: str, context: Any = None, *rest: Any, **more: Any
        ) -> Any:
            left_out = self._left_out(context)
            if left_out is not None:
                return api.use_span(left_out)
            return self._as_current(name, context, *rest, **more)

        @decorated  # type: ignore[untyped-decorator]
        def _as_current(
            self,
            name: str,
            context: Any,
            kind: Any = api.SpanKind.INTERNAL,
            attributes: Any = None,
            links: Any = None,
            start_time: int | None = None,
            record_exception: bool = True,
            set_status_on_exception: bool = True,
            end_on_exit: bool = True,
        ) -> Iterator[Any]:
            span = self._start_span(name, context, kind, attributes, links, start_time)
            with api.use_span(
                span,
                end_on_exit=end_on_exit,
                record_exception=record_exception,
                set_status_on_exception=set_status_on_exception,
            ):
                yield span

    return Tracer
