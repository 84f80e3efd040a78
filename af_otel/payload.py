"""What is injected into a facility's processes: one directory or zip file, for every Python.

A payload is `sitecustomize.py` and `af_otel_boot.py` at its head, and under `af_otel_lib/` pure
Python: OpenTelemetry's API and SDK, the OTLP JSON exporter, and ours. It is made from the packages
installed beside this one, the same bytes from the same versions (see `vendoring`).
"""

from __future__ import annotations

import base64
import compileall
import hashlib
import os
import sys
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.vendoring import files

if TYPE_CHECKING:
    from collections.abc import Mapping

# A ConfigMap holds 1 MiB, its names included.
CONFIGMAP_LIMIT = 1024 * 1024


def publish(target: Path) -> Path:
    """Write a payload into a directory of its own and point the symbolic link `target` to it.

    Processes that run keep the directory that they started with; those that start later use the
    new one.

    Parameters
    ----------
    target
        A path that does not exist, is an empty directory, or was published before.

    Returns
    -------
    Path
        The directory, beside the link and named by the link and the hash of its content.

    Raises
    ------
    AfOtelError
        `target` is something else or cannot be written, or a part of the payload is not installed.
    """
    target = target.absolute()
    if not target.is_symlink():
        _refuse_used(target)
    elif target.exists() and not _is_payload(target):
        raise _no_payload(target)
    parts = files()
    directory = target.with_name(f"{target.name}.{digest(parts)}")
    try:
        if not directory.exists():
            _write(directory, parts)
        if target.is_dir() and not target.is_symlink():
            target.rmdir()
        link = target.with_name(f".{target.name}.{os.getpid()}")
        link.unlink(missing_ok=True)
        link.symlink_to(directory.name)
        link.replace(target)
    except OSError as error:
        raise _cannot_write(error, target) from error
    return directory


def build(target: Path) -> Path:
    """Write a payload into the directory `target`, which appears whole or not at all.

    Parameters
    ----------
    target
        A directory that does not exist or is empty.

    Raises
    ------
    AfOtelError
        `target` is not empty or cannot be written, or a part of the payload is not installed.
    """
    _refuse_used(target)
    try:
        _write(target, files())
    except OSError as error:
        raise _cannot_write(error, target) from error
    return target


def _refuse_used(target: Path) -> None:
    """Raise for a directory with content: what runs from it would import half of each payload."""
    if not target.exists() or not _list(target):
        return
    if not _is_payload(target):
        raise _no_payload(target)
    raise AfOtelError(
        f"`{target}` is a payload, which may be in use and cannot be changed in place",
        where=str(target),
        hint=f"name a new path such as `{target}-next` and point PYTHONPATH to it, or remove this "
        "one when no process uses it any more",
    )


def _no_payload(target: Path) -> AfOtelError:
    return AfOtelError(
        f"`{target}` exists and is not a payload",
        where=str(target),
        hint="name a new directory, or remove this one first",
    )


def _cannot_write(error: OSError, target: Path) -> AfOtelError:
    return AfOtelError(
        f"The payload cannot be written: {error.strerror}",
        where=str(error.filename or target),
        hint="name a directory that you may write to",
    )


def _write(target: Path, parts: Mapping[str, bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        fresh = Path(scratch) / "payload"
        for name, content in parts.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        fresh.rename(target)


def digest(parts: Mapping[str, bytes]) -> str:
    """Return the hash of a payload's files that its directory is named by."""
    found = hashlib.sha256()
    for name, content in parts.items():
        found.update(name.encode() + b"\0" + content)
    return found.hexdigest()[:12]


def archive() -> bytes:
    """Return a payload as a zip file, which works on `PYTHONPATH` as it is; the same bytes every
    time.
    """
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as package:
        for name, content in files().items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, on whatever this runs
            package.writestr(entry, content)
    return buffer.getvalue()


def configmap(name: str, namespace: str, texts: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a ConfigMap that carries the payload as `payload.zip`.

    Parameters
    ----------
    name, namespace
        Of the ConfigMap.
    texts
        What else it carries, by file name.

    Raises
    ------
    AfOtelError
        The payload has grown past what a ConfigMap holds.
    """
    content = archive()
    size = len(content) + sum(len(text.encode()) for text in (texts or {}).values())
    if size > CONFIGMAP_LIMIT - 4096:
        raise AfOtelError(
            f"The payload has {size} bytes, more than a ConfigMap holds",
            where=name,
            hint="build it into the images with `af-otel payload DIR`",
        )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        **({"data": dict(texts)} if texts else {}),
        "binaryData": {"payload.zip": base64.b64encode(content).decode()},
    }


def cached() -> Path:
    """Return a payload directory for this machine, with byte code, made at first use.

    It lies in the user's cache by the hash of its content, so that two versions do not meet.
    """
    tag = f"{digest(files())}-{sys.implementation.cache_tag}"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = home / "af-otel" / "payload" / tag
    if not _is_payload(target):
        try:
            build(target)
        except AfOtelError:
            if not _is_payload(target):  # else another process was quicker, with the same bytes
                raise
        compileall.compile_dir(
            target, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
        )
    return target


def environment(payload: Path, around: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that put a payload into every Python process that inherits them.

    Parameters
    ----------
    payload
        The payload's directory or zip file.
    around
        The environment that the processes have so far; what is on its `PYTHONPATH` stays, behind
        us.
    """
    rest = [
        entry
        for entry in around.get("PYTHONPATH", "").split(os.pathsep)
        if entry and entry != str(payload)
    ]
    return {"PYTHONPATH": os.pathsep.join([str(payload), *rest])}


def _is_payload(target: Path) -> bool:
    return "af_otel_boot.py" in _list(target)


def _list(target: Path) -> list[str]:
    try:
        return [path.name for path in target.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AfOtelError(
            f"`{target}` cannot be read: {error.strerror}",
            where=str(target),
            hint="name a directory that you may read and write",
        ) from error
