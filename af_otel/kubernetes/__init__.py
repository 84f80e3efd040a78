"""Put telemetry on a Kubernetes facility, and take it away."""
