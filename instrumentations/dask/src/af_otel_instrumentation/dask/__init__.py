"""Placeholder until the instrumentation lands."""
