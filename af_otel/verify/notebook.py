"""The notebook of a verification on a cluster: some cells, for the Dask that its users have."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from af_otel_semconv import services, spans

from af_otel.errors import AfOtelError
from af_otel.verify import hops
from af_otel.verify.place import Cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from af_otel.verify.hops import Hop
    from af_otel.verify.kernel import Kernel

GATEWAY, SCHEDULER, LOCAL, NONE = "gateway", "scheduler", "local", "none"
# Numbers that are known beforehand. Functions that every Python has, and tasks whose number no
# optimization changes: a worker may run another version of Python than the notebook.
_SUM = Cell("sum", "numbers = list(range(1, 21))\nprint(sum(numbers))", prints="210")
_COMPUTE = Cell(
    "compute",
    "futures = client.map(abs, [-number for number in numbers])\n"
    'print(sum(client.gather(futures)), "from", len(futures), "tasks")',
    prints="210 from 20 tasks",
    about=services.DASK_SCHEDULER,
)
_CLUSTER = Cell(
    "cluster",
    "from dask_gateway import Gateway\n\n"
    "cluster = Gateway().new_cluster()\n"
    "cluster.scale(1)\n"
    "client = cluster.get_client()\n"
    "print(cluster.name)",
    about=services.DASK_SCHEDULER,
)
_WORKERS = Cell("workers", "client.wait_for_workers(1)", about=services.DASK_WORKER)
_CLOSE = Cell("close", "client.close()")
_SHUT_DOWN = Cell("shut down", "client.close()\ncluster.shutdown()", about=services.DASK_SCHEDULER)

_FIND = """
import importlib.util, json

def there(module):
    return importlib.util.find_spec(module) is not None

kind = "none"
if there("distributed"):
    import dask
    if there("dask_gateway"):
        import dask_gateway  # its defaults
    if there("dask_gateway") and dask.config.get("gateway.address", None):
        kind = "gateway"
    elif dask.config.get("scheduler-address", None):
        kind = "scheduler"
    else:
        kind = "local"
"""
_LIST = """
from dask_gateway import Gateway
with Gateway() as gateway:
    names = [cluster.name for cluster in gateway.list_clusters()]
"""
_STOP = """
from dask_gateway import Gateway
with Gateway() as gateway:
    names = [cluster.name for cluster in gateway.list_clusters() if cluster.name not in {keep!r}]
    for name in names:
        gateway.stop_cluster(name)
"""


@dataclass(frozen=True)
class Notebook:
    """What is run with one kind of Dask, and the hops that it makes."""

    dask: str
    cells: Sequence[Cell]
    hops: Sequence[Hop]


NOTEBOOKS = {
    GATEWAY: Notebook(
        "a cluster of Dask Gateway",
        (_SUM, _CLUSTER, _WORKERS, _COMPUTE, _SHUT_DOWN),
        hops.with_dask(services.DASK_SCHEDULER),
    ),
    SCHEDULER: Notebook(
        "the Dask scheduler that the image names",
        (
            _SUM,
            Cell("client", "from distributed import Client\n\nclient = Client()\n"),
            _WORKERS,
            _COMPUTE,
            _CLOSE,
        ),
        hops.with_dask(services.DASK_SCHEDULER),
    ),
    LOCAL: Notebook(
        "a Dask worker in the user's pod",
        (
            _SUM,
            Cell(
                "client",
                "from distributed import Client\n\n"
                "client = Client(n_workers=1, threads_per_worker=1, dashboard_address=None)\n",
            ),
            _COMPUTE,
            _CLOSE,
        ),
        hops.with_dask(services.JUPYTER_KERNEL),
    ),
    NONE: Notebook("no Dask, as the users' image has none", (_SUM,), hops.NOTEBOOK),
}


def for_anybody(chosen: Notebook, slow: float) -> Notebook:
    """The same for a user of whom not all traces are kept: one cell, slow enough to be.

    What is short by nature, as the start of a kernel, proves nothing then.
    """
    *_, last = [cell for cell in chosen.cells if cell.prints]
    cells = [cell.source for cell in chosen.cells]
    source = "\n".join([*cells, "import time", f"time.sleep({slow + 1:g})"])
    return Notebook(
        f"{chosen.dask}, which take longer than {slow:g} s so that they are kept",
        (Cell("all", source, prints=last.prints, about=last.about),),
        [hop for hop in chosen.hops if hop.span != spans.START_KERNEL],
    )


def dask_of(kernel: Kernel, timeout: float) -> str:
    """Which Dask the user of this kernel would use; a key of `NOTEBOOKS`."""
    return str(_ask(kernel, _FIND, "kind", timeout))


def clusters(kernel: Kernel, timeout: float) -> list[str]:
    """The names of the user's clusters at the gateway."""
    return list(_ask(kernel, _LIST, "names", timeout))


def stop_clusters(kernel: Kernel, timeout: float, keep: Sequence[str] = ()) -> list[str]:
    """Stop the user's clusters at the gateway, but these; the names of the stopped ones."""
    return list(_ask(kernel, _STOP.format(keep=list(keep)), "names", timeout))


def _ask(kernel: Kernel, code: str, variable: str, timeout: float) -> Any:
    """Run code where no cell is run, and no variable is left; what it made of `variable`."""
    expression = f"(lambda made: (exec({code!r}, made), made[{variable!r}])[1])({{}})"
    expression = f"__import__('json').dumps({expression})"
    said = kernel.ask(timeout, answer=expression)["answer"]
    try:
        return json.loads(ast.literal_eval(said))
    except (ValueError, SyntaxError):
        raise AfOtelError(
            "The kernel does not say which Dask there is", where=f"kernel `{kernel.id}`: {said}"
        ) from None
