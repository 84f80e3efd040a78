"""What a traced process loads: OpenTelemetry's providers, made ready for a facility.

`activate` is called by the bootstrap when a library of a known role was imported. It hands lazy
providers to that library's instrumentation; the SDK loads behind them, on a thread of its own.
"""
