"""OpenTelemetry for scientific analysis facilities."""

__version__ = "0.1.0"
