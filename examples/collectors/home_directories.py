"""What home directories hold, by directory: `af-otel collect home_directories.py`.

`AF_OTEL_HOMES` names the directory that holds them. A filesystem with quotas knows this at once
(`xfs_quota`, `lfs quota`, CephFS' `ceph.dir.rbytes`): ask it instead of walking, where it is big.
"""

import os
import shutil
from pathlib import Path

from af_otel.metrics import collector

HOMES = Path(os.environ.get("AF_OTEL_HOMES", "/home"))
MOST = 100


@collector(every=60, unit="By")
def storage_free():
    """What the home directories' filesystem has left."""
    return shutil.disk_usage(HOMES).free


@collector(every=3600, unit="By")
def home_used():
    """What the largest home directories hold; those of many users are one, `other`."""
    sizes = sorted((size(home) for home in HOMES.iterdir() if home.is_dir()), reverse=True)
    # By rank, as users' names do not belong into metrics.
    for rank, used in enumerate(sizes[:MOST], 1):
        yield used, {"rank": rank}
    yield sum(sizes[MOST:]), {"rank": "other"}


def size(directory):
    """Bytes on disk below a directory; what may not be read is left out."""
    total = 0
    for parent, _, names in os.walk(directory, onerror=lambda _error: None):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                pass
    return total
