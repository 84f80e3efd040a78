"""The Collector's configuration for a facility."""
