"""Data sources and dashboards for Grafana, as plain dicts.

The local facility writes them to files; an installed facility puts them into ConfigMaps.
"""
