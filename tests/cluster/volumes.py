"""Volumes that any user may write to, as provisioners of real clusters make them.

    python volumes.py KUBECONFIG

Those of kube-controller-manager's host-path provisioner are root's alone, whatever the `fsGroup`
of a pod says.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import kubernetes
import urllib3


def main() -> None:
    kubernetes.config.load_kube_config(sys.argv[1])
    core = kubernetes.client.CoreV1Api()
    while True:  # an API that is away comes back
        with contextlib.suppress(
            kubernetes.client.ApiException, urllib3.exceptions.HTTPError, OSError
        ):
            for event in kubernetes.watch.Watch().stream(core.list_persistent_volume):
                volume = event["object"].spec.host_path
                if volume is not None and event["type"] != "DELETED":
                    with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                        Path(volume.path).chmod(0o777)
        time.sleep(1)


if __name__ == "__main__":
    main()
