"""What Grafana is given: data sources and dashboards, as plain dicts.

The local facility writes them into files, an installed one into ConfigMaps.
"""
