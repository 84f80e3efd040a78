"""`service.name` of each process of a facility; the facility itself is `service.namespace`."""

from __future__ import annotations

from typing import Final

JUPYTERHUB: Final = "jupyterhub"
JUPYTER_SERVER: Final = "jupyter-server"
JUPYTER_KERNEL: Final = "jupyter-kernel"
DASK_SCHEDULER: Final = "dask-scheduler"
DASK_WORKER: Final = "dask-worker"
DASK_GATEWAY: Final = "dask-gateway"
# A script that makes a Dask client.
DASK_CLIENT: Final = "dask-client"
