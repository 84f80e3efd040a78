"""Run parts of the hosts' own test suites plain and injected; see `tools/upstream_suites.py`."""
