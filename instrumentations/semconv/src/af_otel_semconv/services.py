"""`service.name` of each process of a facility; the facility itself is `service.namespace`."""

from __future__ import annotations

from typing import Final

# The hub
JUPYTERHUB: Final = "jupyterhub"
# A user's server (JupyterLab, jupyterhub-singleuser)
JUPYTER_SERVER: Final = "jupyter-server"
# An ipykernel, and a Dask scheduler inside it
JUPYTER_KERNEL: Final = "jupyter-kernel"
# `dask scheduler`
DASK_SCHEDULER: Final = "dask-scheduler"
# A Dask worker, under a nanny or not
DASK_WORKER: Final = "dask-worker"
# `dask-gateway-server`
DASK_GATEWAY: Final = "dask-gateway"
# `af-otel collect`
COLLECT: Final = "af-otel-collect"
# A script that makes a Dask client.
DASK_CLIENT: Final = "dask-client"
