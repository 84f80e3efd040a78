"""The names of af-otel's telemetry: constants only, so that every distribution may depend on it.

`spans`, `attributes` and `metrics` hold what is exported, `carriers` how context travels,
`services` what the processes of a facility are called.
"""
