"""What an injected interpreter runs first.

`site/` is the head of a payload, put on `PYTHONPATH`: `sitecustomize.py` and `af_otel_boot.py`,
standard library only. They import nothing else of ours until a process is known to be one that we
trace, and so are no part of this package: they must run without it.
"""
