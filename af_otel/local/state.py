"""One facility's directory: everything it writes is in here, and only one facility runs in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shlex
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER = ".af-otel-facility"
MARKER_TEXT = "The state of an `af-otel up` facility; `af-otel down --purge` removes it.\n"
SOCKETS = "sockets"  # A link: the paths of a state directory may be too long for sockets.
ENOUGH = 200_000_000  # bytes; Jaeger, Prometheus and a JupyterHub that have just started, twice


def default_directory() -> Path:
    """Where the facility of this user is kept unless `--state` says otherwise."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "af-otel" / "local"


@dataclass(frozen=True)
class State:
    """The state directory and the names in it."""

    directory: Path

    @classmethod
    def at(cls, directory: Path | None) -> State:
        """The state in `directory`, or in the default one."""
        return cls((directory or default_directory()).expanduser().resolve())

    @property
    def name(self) -> str:
        """The facility's name, its `service.namespace`."""
        return self.directory.name

    @property
    def option(self) -> str:
        """What a command needs to find this facility, with a space before it."""
        usual = self.directory == default_directory().resolve()
        return "" if usual else f" --state {shlex.quote(str(self.directory))}"

    @property
    def logs(self) -> Path:
        """A log per service."""
        return self.directory / "logs"

    @property
    def home(self) -> Path:
        """The homes of the users."""
        return self.directory / "home"

    @property
    def facility_file(self) -> Path:
        """What the supervisor says of itself (`facility.Facility`)."""
        return self.directory / "facility.json"

    @property
    def supervisor_log(self) -> Path:
        """What a detached supervisor prints, which is nothing unless it fails."""
        return self.directory / "supervisor.log"

    @property
    def spans_file(self) -> Path:
        """Every span that the Collector let out."""
        return self.directory / "collector" / "spans.jsonl"

    @property
    def keys(self) -> Path:
        """What lets its owner into a running facility, made if need be."""
        return self.part("keys")

    def sockets(self) -> Path:
        """Make a directory for Unix sockets, whose paths may have few characters; see `purge`.

        Of one that an earlier facility left behind, nothing remains.
        """
        self.remove_sockets()
        made = tempfile.mkdtemp(prefix="af-otel-", dir="/tmp")
        (self.directory / SOCKETS).symlink_to(made)
        return Path(made)

    def remove_sockets(self) -> None:
        """Remove the directory for Unix sockets."""
        link = self.directory / SOCKETS
        with contextlib.suppress(OSError):
            target = link.readlink()
            # Once it is gone, anybody may make one of that name.
            if target.stat().st_uid == os.geteuid():
                shutil.rmtree(target, ignore_errors=True)
        link.unlink(missing_ok=True)

    def part(self, name: str) -> Path:
        """Return a directory in it that only its owner may enter, made if need be."""
        path = self.directory / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    @property
    def is_ours(self) -> bool:
        """Whether a facility made it."""
        return (self.directory / MARKER).is_file()

    def prepare(self) -> list[str]:
        """Make the directory, and return what of it other users could enter until now.

        Raises
        ------
        AfOtelError
            It cannot be used.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.directory.stat().st_uid != os.geteuid():
                raise AfOtelError(
                    "The state directory belongs to another user",
                    where=f"`{self.directory}`, of the user with id {self.directory.stat().st_uid}",
                    hint="name a directory of your own with `--state DIR`",
                )
            if not self.is_ours and any(self.directory.iterdir()):
                raise AfOtelError(
                    "The state directory holds something else",
                    where=f"`{self.directory}`",
                    hint="name an empty or a new directory with `--state DIR`",
                )
            # Rewritten each time: this is where a full or read-only disk shows.
            (self.directory / MARKER).write_text(MARKER_TEXT, encoding="utf-8")
            for part in (self.logs, self.home, self.spans_file.parent):
                part.mkdir(mode=0o700, exist_ok=True)
            tightened = [str(path) for path in self._directories() if _tighten(path)]
            free = shutil.disk_usage(self.directory).free
        except OSError as error:
            raise AfOtelError(
                f"The state directory cannot be used: {error.strerror or error}",
                where=f"`{self.directory}`",
                hint="name a directory on a local disk that you may write to with `--state DIR`",
            ) from error
        if free < ENOUGH:
            raise AfOtelError(
                f"The disk is almost full: {free / 1e6:.0f} MB are free, "
                f"{ENOUGH / 1e6:.0f} MB are needed",
                where=f"`{self.directory}`",
                hint="free some space, or name a directory on another disk with `--state DIR`",
            )
        return tightened

    def _directories(self) -> Iterator[Path]:
        """Yield it and the directories in it: one that somebody has entered stays open to them."""
        yield self.directory
        for path in self.directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                yield path

    @property
    def password_file(self) -> Path:
        """Where `password` keeps it."""
        return self.directory / "password"

    def password(self) -> str:
        """The users' password: made once, so that a browser may remember it."""
        path = self.password_file
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            word = secrets.token_hex(6)
            write_private(path, word + "\n")
            return word

    def lock(self) -> Lock | None:
        """Claim the directory; None when a facility runs in it (or is still being cleared away)."""
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        for pause in (0.02, 0.05, 0.1, None):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if pause is None:
                    os.close(descriptor)
                    return None
                # Perhaps it is only somebody who asks for the `holder`.
                time.sleep(pause)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return Lock(descriptor)

    def holder(self) -> int | None:
        """The process that runs the facility, or None when nobody does."""
        path = self.directory / "lock"
        try:
            with path.open("r", encoding="utf-8") as file:
                # A shared lock is refused while the exclusive one is held; askers do not meet.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            # Between the claim and the writing of its pid the file may be empty.
            return int(path.read_text(encoding="utf-8").strip() or 0)
        except OSError:
            return None
        return None

    def purge(self) -> None:
        """Remove the directory; refuse one that no facility made."""
        if not self.is_ours:
            raise AfOtelError(
                "This is no facility's state directory, so it stays",
                where=f"`{self.directory}`, which has no `{MARKER}`",
                hint="remove it by hand if it is to go",
            )
        self.remove_sockets()
        try:
            shutil.rmtree(self.directory)
        except OSError as error:
            raise AfOtelError(
                f"The state directory cannot be removed: {error.strerror or error}",
                where=f"`{error.filename or self.directory}`",
                hint="remove it by hand",
            ) from error


def _tighten(directory: Path) -> bool:
    """Let only the owner in; return whether others could enter it or read it."""
    mode = directory.stat().st_mode
    if not mode & 0o077:
        return False
    directory.chmod(stat.S_IMODE(mode) & ~0o077)
    return True


@dataclass(frozen=True)
class Lock:
    """The claim on a state directory; the kernel frees it when its last holder has ended."""

    descriptor: int

    def release(self) -> None:
        """Give it up, as far as this process is concerned."""
        os.close(self.descriptor)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only this user reads it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
