"""Jobs and nodes of a Slurm cluster: `af-otel collect slurm_cluster.py`, where `squeue` works."""

import subprocess
from collections import Counter

from af_otel.metrics import collector


@collector(every=60, unit="{job}")
def slurm_jobs():
    """Jobs in the queue, by state and partition."""
    found = Counter(ask("squeue", "--all", "--noheader", "--format=%T %P"))
    for (state, partition), jobs in found.items():
        yield jobs, {"state": state.lower(), "partition": partition}


@collector(every=60, unit="{cpu}")
def slurm_cpus():
    """CPUs of the cluster, by what they do."""
    # Allocated/idle/other/total
    for (numbers,) in ask("sinfo", "--noheader", "--summarize", "--format=%C"):
        for state, cpus in zip(("allocated", "idle", "other"), numbers.split("/"), strict=False):
            yield int(cpus), {"state": state}
        break


def ask(*command):
    """The words of each line that a command answers."""
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    return [tuple(line.split()) for line in answer.splitlines() if line.strip()]
