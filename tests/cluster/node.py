"""A machine in the machine: namespaces of its own, so that whatever ran in it is gone with it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTNAME = "node1"
BRIDGE = "pods"
BRIDGE_ADDRESS = "10.244.0.1"
CGROUPS = Path("/sys/fs/cgroup")
LINKS = 250
# Where kube-controller-manager makes volumes.
VOLUMES = Path("/tmp/hostpath_pv")
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None)  # loaded here, as after a fork no lock may be waited for

# The kubelet sets these for the whole machine and insists; here it finds them set, in files.
KUBELETS_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


class NodeFailed(AssertionError):
    """The node, or something on it, did not start."""


class Node:
    """Network, mounts, processes and control groups apart from the machine's; files are shared."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.logs = state / "logs"

    @property
    def init(self) -> int:
        """Process 1 of the node, as the machine numbers it; 0 if the node is not there."""
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            outer = psutil.Process(int((self.state / "node.pid").read_text()))
            if outer.name() == "unshare":
                return next((child.pid for child in outer.children()), 0)
        return 0

    @property
    def link(self) -> int:
        return int((self.state / "link").read_text())

    @property
    def link_name(self) -> str:
        return f"afotel{self.link}"

    @property
    def address(self) -> str:
        """The node as this machine reaches it."""
        return f"198.18.{self.link}.2"

    @property
    def machine_address(self) -> str:
        """The machine as the node and its pods reach it; in no private range, like the world."""
        return f"198.18.{self.link}.1"

    @property
    def cgroup(self) -> str:
        return f"af-otel-{self.state.name}"

    def is_left_over(self) -> bool:
        """Whether it was made by a run that is gone, as is the node, but not its files."""
        try:
            process = int((self.state / "node.pid").read_text())
        except (OSError, ValueError):
            return False
        return not self.init and not psutil.pid_exists(process)

    def up(self, *, keep: bool) -> None:
        """Make the node; unless `keep`, it ends with this process, however that ends."""
        for name in ("logs", "volumes"):
            (self.state / name).mkdir(parents=True, exist_ok=True)
        (self.state / "volumes").chmod(0o777)
        for setting, value in KUBELETS_SETTINGS.items():
            file = self.state / "sysctl" / setting
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value + "\n")
        if not Path("/proc/sys/net/bridge").exists() and shutil.which("modprobe"):
            subprocess.run(["modprobe", "br_netfilter"], check=False, capture_output=True)
        settings = [one for one in KUBELETS_SETTINGS if Path("/proc/sys", one).exists()]
        script = Path(__file__).with_name("node.sh")
        with (self.logs / "node.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *("unshare", "--net", "--mount", "--pid", "--uts", "--ipc"),
                    *("--fork", "--mount-proc", "--kill-child", "sh", script),
                    *(self.state, HOSTNAME, BRIDGE, BRIDGE_ADDRESS, *settings),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=None if keep else _end_with_parent,  # noqa: PLW1509 - one system call
            )
        (self.state / "node.pid").write_text(str(process.pid))
        deadline = time.monotonic() + 30
        while not (self.state / "init-done").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                words = (self.logs / "node.log").read_text()
                raise NodeFailed(f"the node could not be made: {words}")
            time.sleep(0.02)
        self._connect()
        for controller in self._controllers():
            _let_children_have(controller)
            (controller / self.cgroup).mkdir(exist_ok=True)

    def _connect(self) -> None:
        for number in range(LINKS):
            made = subprocess.run(
                _ip(f"link add afotel{number} type veth peer name machine netns {self.init}"),
                check=False,
                capture_output=True,
                text=True,
            )
            if made.returncode == 0:
                (self.state / "link").write_text(str(number))
                break
            # Its name is how a node claims its network: another node has this one.
            if "exists" not in made.stderr:
                raise NodeFailed(made.stderr)
        subprocess.run(_ip(f"addr add {self.machine_address}/30 dev afotel{number}"), check=True)
        subprocess.run(_ip(f"link set afotel{number} up"), check=True)
        self.run(*_ip(f"addr add {self.address}/30 dev machine"))
        self.run(*_ip("link set machine up"))

    def _controllers(self) -> Iterator[Path]:
        if (CGROUPS / "cgroup.controllers").exists():
            yield CGROUPS
            return
        for directory in CGROUPS.iterdir():
            if directory.is_dir() and not directory.is_symlink():
                yield directory

    def inside(self, *command: str | Path) -> list[str]:
        return ["nsenter", "--target", str(self.init), "--all", "--", *map(str, command)]

    def run(self, *command: str | Path, timeout: float = 120) -> str:
        """Run a program on the node to its end; what it printed."""
        done = subprocess.run(
            self.inside(*command),
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise NodeFailed(f"`{shlex.join(map(str, command))}`: {done.stdout}{done.stderr}")
        return done.stdout

    def can(self, *command: str | Path) -> bool:
        """Whether a program ends well on the node."""
        try:
            self.run(*command)
        except NodeFailed:
            return False
        return True

    def start(self, name: str, *command: str | Path) -> None:
        """Start a server on the node; its words are in `logs`."""
        (self.state / "commands").mkdir(exist_ok=True)
        (self.state / "commands" / name).write_text(shlex.join(map(str, command)))
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.inside(*command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.logs / f"{name}.pid").write_text(str(process.pid))

    def start_again(self, name: str) -> None:
        """Start a server that was stopped, as it was."""
        self.start(name, *shlex.split((self.state / "commands" / name).read_text()))

    def process(self, name: str) -> psutil.Process | None:
        """The server itself: what entered the namespaces for it only waits."""
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            entering = psutil.Process(int((self.logs / f"{name}.pid").read_text()))
            if entering.name() == "nsenter":
                return next(iter(entering.children()), None)
        return None

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a server; one that does not follow is killed."""
        process = self.process(name)
        if process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(how)
            try:
                process.wait(15)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(15)

    def down(self) -> None:
        """End every process of the node; the kernel removes its mounts and links with them."""
        init = self.init
        if init:
            outer = psutil.Process(init).parent()
            members = _members(init)
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(init).kill()
            # An exiting process still holds its namespaces: only after it are the mounts gone.
            psutil.wait_procs([*members, *([outer] if outer else [])], timeout=30)
        for controller in self._controllers():
            _remove_cgroup(controller / self.cgroup)
        _remove(self.state)
        # Removed, it takes along what another node has mounted there in a namespace of its own.
        if not _is_mounted(VOLUMES):
            with contextlib.suppress(OSError):
                VOLUMES.rmdir()


def _is_mounted(directory: Path) -> bool:
    """Whether any process of the machine sees something mounted there."""
    for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            if f" {directory} " in mounts.read_text():
                return True
    return False


def _ip(words: str) -> list[str]:
    return ["ip", *words.split()]


def _end_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it ignores SIGTERM


def _members(init: int) -> list[psutil.Process]:
    """Every process in the namespaces of this one."""
    theirs = Path(f"/proc/{init}/ns/pid").readlink()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if Path(f"/proc/{process.pid}/ns/pid").readlink() == theirs:
                found.append(process)
    return found


def _let_children_have(directory: Path) -> None:
    """In the unified hierarchy, groups have the controllers that their parent hands down."""
    for controller in ("cpuset", "cpu", "io", "memory", "hugetlb", "pids"):
        with contextlib.suppress(OSError):
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")


def _remove_cgroup(directory: Path) -> None:
    """Control groups are removed from the leaves up, and each only once its last process ended."""
    if not directory.is_dir():
        return
    for path, _, _ in os.walk(directory, topdown=False):
        deadline = time.monotonic() + 5
        while True:
            try:
                Path(path).rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def _remove(directory: Path) -> None:
    deadline = time.monotonic() + 20
    while directory.exists():
        shutil.rmtree(directory, ignore_errors=time.monotonic() < deadline)
        time.sleep(0.05)
