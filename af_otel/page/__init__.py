"""A facility in the browser, without Grafana: its sessions and charts, or one session as a file.

What a session is, and every word about it, comes from `af_otel.backends`; the files in `static`
draw it. They are plain ES modules: nothing builds them, and they fetch nothing from elsewhere.
"""
