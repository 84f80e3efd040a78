"""Jobs and slots of an HTCondor pool: `af-otel collect htcondor_pool.py`, beside `condor_q`."""

import json
import subprocess
from collections import Counter

from af_otel.metrics import collector

# https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html#JobStatus
STATES = {1: "idle", 2: "running", 3: "removed", 4: "completed", 5: "held", 6: "output", 7: "hold"}


@collector(every=60, unit="{job}")
def condor_jobs():
    """Jobs in the queue, by state."""
    ads = ask("condor_q", "-allusers", "-attributes", "JobStatus", "-json")
    found = Counter(STATES.get(ad["JobStatus"], "other") for ad in ads)
    for state in STATES.values():
        yield found[state], {"state": state}


@collector(every=60, unit="{cpu}")
def condor_cpus():
    """CPUs of the pool's slots, by the slots' state."""
    found = Counter()
    for ad in ask("condor_status", "-attributes", "State,Cpus", "-json"):
        found[ad["State"].lower()] += ad["Cpus"]
    for state, cpus in found.items():
        yield cpus, {"state": state}


def ask(*command):
    """What a command answers; nothing at all means an empty list."""
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    return json.loads(answer) if answer.strip() else []
