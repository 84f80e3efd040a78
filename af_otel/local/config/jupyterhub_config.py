"""The local facility's JupyterHub."""

from af_otel.local.hub import configure

configure(get_config())  # noqa: F821  # type: ignore[name-defined]
