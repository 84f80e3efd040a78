"""What the images of the tests are made of; made once on a machine, by whoever needs them first."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.local import servers
from cluster.images import PATH, Layer, digest_of

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "tools"))

from building.lock import exclusive  # noqa: E402
from building.unfinished import unfinished  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

SUITE = "bookworm"  # its Python is 3.11
PACKAGES = ("python3", "python3-venv", "ca-certificates", "libstdc++6", "libatomic1", "iptables")
UNNEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists")
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
PYTHON = "/opt/venv/bin/python"
INSTALL = "uv pip install -q --require-hashes --only-binary :all: -r /requirements.lock"

# As uid 1000, which is also whose home it is, as in the images of Zero to JupyterHub.
ACCOUNT = """
useradd --create-home --uid 1000 --gid users --shell /bin/bash jovyan
"""
# In a mount namespace, so that nothing stays mounted however it ends.
IN_TREE = """
set -e
tree=$1; uv=$2; cache=$3; shift 3
touch $tree/usr/bin/uv
mount --bind $uv $tree/usr/bin/uv
mkdir -p $tree/uv-cache
mount --bind $cache $tree/uv-cache
mount --bind /etc/resolv.conf $tree/etc/resolv.conf
mount -t proc proc $tree/proc
mount --bind /dev $tree/dev
exec chroot $tree env UV_CACHE_DIR=/uv-cache SSL_CERT_FILE=/{certificates} UV_LINK_MODE=copy "$@"
"""


def base() -> Layer:
    """A small Debian with Python, and a user of the name that notebooks have."""
    return _made("base", _make_base, SUITE, PACKAGES, UNNEEDED, ACCOUNT)


def hub() -> Layer:
    """A virtual environment at /opt/venv with what a hub needs, to lie upon the base."""
    return _venv("hub")


def user() -> Layer:
    """A virtual environment at /opt/venv with what a user's server and Dask need."""
    return _venv("user")


def proxy() -> Layer:
    """configurable-http-proxy and the Node that runs it, to lie upon the base."""
    program = servers.find("configurable-http-proxy").path
    return _made("proxy", lambda tree: _copy_proxy(program, tree), str(program))


def image(name: str) -> tuple[list[Layer], dict[str, Any]]:
    """The layers and the settings of an image of ours."""
    layers = [base()] if name == "base" else [base(), {"hub": hub, "user": user}[name]()]
    settings = {
        "env": {"PATH": f"/opt/venv/bin:{PATH}", "HOME": "/home/jovyan"},
        "user": "1000:100",
        "directory": "/home/jovyan",
    }
    return layers, settings


def other_telemetry() -> Layer:
    """At /srv/site, for an image's own PYTHONPATH: an API of OpenTelemetry older than ours."""
    install = f"{INSTALL} --python /usr/bin/python3 --target /srv/site"
    return _made_in_base("other-telemetry", install, "srv")


def _venv(name: str) -> Layer:
    install = (
        "uv venv -q --python /usr/bin/python3 /opt/venv && "
        f"{INSTALL} --compile-bytecode --python {PYTHON}"
    )
    return _made_in_base(name, install, "opt")


def _made(name: str, make: Callable[[Path], None], *inputs: object) -> Layer:
    """The layer of this name out of the cache, or made: by one process at a time, whole."""
    recipe = hashlib.sha256(repr((inputs, inspect.getsource(_pack))).encode()).hexdigest()[:12]
    directory = servers.cache().parent / "images" / f"{name}-{recipe}"
    if not directory.is_dir():
        with exclusive(directory.parent / f".{name}.lock", say):
            if not directory.is_dir():
                say(f"making the image layer `{name}`")
                with unfinished(directory) as building:
                    tree = building / "tree"
                    tree.mkdir()
                    make(tree)
                    _pack(tree, building / "layer.tar")
                for other in directory.parent.glob(f"{name}-*"):
                    if other != directory:
                        shutil.rmtree(other)
    return Layer(directory / "layer.tar", (directory / "layer.tar.sha256").read_text())


def _pack(tree: Path, target: Path) -> None:
    # Sorted and without times of its own: the same recipe gives the same layer.
    subprocess.run(
        [
            *("tar", "-C", tree, "--numeric-owner", "--sort=name", "--one-file-system"),
            *("-cf", target, "."),
        ],
        check=True,
    )
    target.with_name(f"{target.name}.sha256").write_text(digest_of(target))
    if tree.parent.name.startswith(".unfinished-base"):
        return  # others are made upon it
    shutil.rmtree(tree)


def _make_base(tree: Path) -> None:
    log = tree.parent / "debootstrap.log"
    command = [
        *("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
        *(SUITE, tree, _mirror()),
    ]
    with log.open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=output, check=False)
    assert done.returncode == 0, f"debootstrap: {log.read_text()[-2000:]}"
    subprocess.run(["chroot", tree, "sh", "-ec", ACCOUNT], check=True)
    for path in UNNEEDED:
        shutil.rmtree(tree / path)
        (tree / path).mkdir()
    for package in (tree / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    # Whatever this machine trusts, as a proxy between it and a registry.
    shutil.copy(os.environ.get("SSL_CERT_FILE") or f"/{CERTIFICATES}", tree / CERTIFICATES)


def _mirror() -> str:
    """Return the mirror of Debian that apt is configured with.

    Raises
    ------
    AfOtelError
        apt has no source of Debian's own packages.
    """
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT) $(LABEL)"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = "`apt-get indextargets` lists none"
    except (OSError, subprocess.CalledProcessError) as error:
        listed, found = "", str(error)
    match = re.search(r"^(\S+?)/? main Debian$", listed, re.MULTILINE)
    if match is None:
        raise AfOtelError(
            "apt has no mirror of Debian, which the images of the tests are made of",
            where=found,
            hint="add one to `/etc/apt/sources.list.d`, run `apt-get update`, then this again",
        )
    return match[1]


def _made_in_base(name: str, command: str, keep: str) -> Layer:
    """What a shell command, run in the base beside the layer's lock, leaves in `keep`."""
    lock = HERE / f"{name}.lock"
    return _made(
        name,
        lambda tree: _run_in_base(tree, lock, command, keep),
        command,
        lock.read_bytes(),
        keep,
        base().digest,
        IN_TREE,
    )


def _run_in_base(tree: Path, lock: Path, command: str, keep: str) -> None:
    shutil.copyfile(lock, tree / "requirements.lock")
    merged, work = tree.parent / "merged", tree.parent / "work"
    merged.mkdir()
    work.mkdir()
    below = base().path.with_name("tree")
    script = (
        f"mount -t overlay overlay -o lowerdir={below},upperdir={tree},workdir={work} {merged}\n"
        + IN_TREE.format(certificates=CERTIFICATES)
    )
    uv, cache = _uv()
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", script, "sh", merged, uv, cache),
            *("sh", "-c", command),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for path in [path for path in tree.iterdir() if path.name != keep]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _uv() -> tuple[str, str]:
    """The program itself, which a version manager's shim may stand for, and its cache."""
    uv = str(ROOT / ".make" / "uv")
    script = "import os; print(os.environ['UV'])"
    run = [uv, "run", "--quiet", "--no-project", "--no-python-downloads"]
    program = subprocess.run(
        [*run, "--python", sys.executable, "python", "-c", script],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    cache = subprocess.run(
        [uv, "cache", "dir"], check=True, capture_output=True, text=True
    ).stdout.strip()
    Path(cache).mkdir(parents=True, exist_ok=True)
    return program, cache


def _copy_proxy(program: Path, tree: Path) -> None:
    # The program names the Node that it was built for.
    node = re.search(r'^node="([^"]+)"', program.read_text(), re.MULTILINE)
    assert node, f"`{program}` names no Node"
    target = tree / "srv" / "configurable-http-proxy"
    target.parent.mkdir()
    shutil.copytree(program.parent, target, symlinks=True)
    (tree / "usr/local/bin").mkdir(parents=True)
    shutil.copy(node.group(1), tree / "usr/local/bin/node")
    start = tree / "usr/local/bin/configurable-http-proxy"
    start.symlink_to(
        "/srv/configurable-http-proxy/node_modules/configurable-http-proxy/bin/"
        "configurable-http-proxy"
    )


def say(text: str) -> None:
    print(f"af-otel: {text}", file=sys.stderr)
