"""Clients of Prometheus and of trace stores, and a session told from their answers."""
