"""The transport that exporters use by default."""

from af_otel.runtime._transport import StandardTransport as Urllib3HTTPTransport

__all__ = ["Urllib3HTTPTransport"]
