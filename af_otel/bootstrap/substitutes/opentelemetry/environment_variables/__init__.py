"""Names of variables that choose parts of OpenTelemetry by entry point.

The user's are for the user's own OpenTelemetry: the private one has no entry points, and takes its
context and its propagators, W3C's, as they are.
"""

_UNSET = "_AF_OTEL_UNSET"

OTEL_LOGS_EXPORTER = _UNSET
OTEL_METRICS_EXPORTER = _UNSET
OTEL_PROPAGATORS = _UNSET
OTEL_PYTHON_CONTEXT = _UNSET
OTEL_PYTHON_ID_GENERATOR = _UNSET
OTEL_TRACES_EXPORTER = _UNSET
OTEL_PYTHON_TRACER_PROVIDER = _UNSET
OTEL_PYTHON_METER_PROVIDER = _UNSET
_OTEL_PYTHON_LOGGER_PROVIDER = _UNSET
_OTEL_PYTHON_EVENT_LOGGER_PROVIDER = _UNSET
