"""The licence check. Run it with `tools/check_licenses.py`."""
