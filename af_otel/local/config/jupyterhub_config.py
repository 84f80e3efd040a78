"""The local facility's JupyterHub."""  # noqa: INP001 - the hub executes it

from af_otel.local.hub import configure

configure(get_config())  # type: ignore[name-defined]  # noqa: F821
