"""A look at a facility without Grafana: a page over Tempo and Prometheus, or a session as one file.

What a session is, and every word said of it, comes from `af_otel.backends`; the files in `static`
draw it. They are plain ES modules: nothing builds them, and they fetch nothing from elsewhere.
"""
