"""The files of a payload: ours and OpenTelemetry's, under one private package.

`import opentelemetry` in a traced process has to find what the environment has, or nothing. So the
packages that a payload brings are copied into the package `_af_otel` and import each other from
there, as those in `pip._vendor` do.
"""

from __future__ import annotations

import ast
import sys
from importlib import metadata, util
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Iterator

LIB = "af_otel_lib"
PRIVATE = "_af_otel"

# Packages that are private in a payload, and their names there. `af_otel.metrics` is public: users
# import it.
_RENAMED = {
    "af_otel.runtime": f"{PRIVATE}.runtime",
    "af_otel_semconv": f"{PRIVATE}.af_otel_semconv",
    "af_otel_instrumentation": f"{PRIVATE}.af_otel_instrumentation",
    "opentelemetry": f"{PRIVATE}.opentelemetry",
    "typing_extensions": f"{PRIVATE}.typing_extensions",
    # Is not there: OpenTelemetry would import the environment's for attributes that we do not use.
    "psutil": f"{PRIVATE}.psutil",
}

_THIRD_PARTY = (
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-semantic-conventions",
    "opentelemetry-exporter-http-transport",
    "opentelemetry-exporter-otlp-common",
    "opentelemetry-exporter-otlp-json-common",
    "opentelemetry-exporter-otlp-json-http",
    "opentelemetry-proto-json",
)
# Parts of these that a traced process does not import.
_UNUSED = (
    "opentelemetry/exporter/http/transport/_requests.py",
    "opentelemetry/proto_json/collector/profiles/",
    "opentelemetry/proto_json/profiles/",
    "opentelemetry/sdk/_configuration/",
    "opentelemetry/sdk/error_handler/",
)
# Of the semantic conventions' thousand generated names the SDK reads these; the rest is half the
# payload.
_SEMCONV = "opentelemetry/semconv/"
_SEMCONV_KEPT = (
    "opentelemetry/semconv/__init__.py",
    "opentelemetry/semconv/version",
    "opentelemetry/semconv/schemas.py",
    "opentelemetry/semconv/attributes/",
    "opentelemetry/semconv/resource/",
    "opentelemetry/semconv/_incubating/attributes/otel_attributes.py",
    "opentelemetry/semconv/_incubating/metrics/otel_metrics.py",
)

_SELF = "af-otel"
# Distribution, package, and the modules of it that a traced process loads (all where there are
# none).
_OURS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (_SELF, "af_otel", ("__init__.py", "py.typed", "metrics")),
    (_SELF, "af_otel.runtime", ()),
    ("af-otel-semconv", "af_otel_semconv", ()),
    ("af-otel-instrumentation-jupyterhub", "af_otel_instrumentation.jupyterhub", ()),
    ("af-otel-instrumentation-jupyter-server", "af_otel_instrumentation.jupyter_server", ()),
    ("af-otel-instrumentation-ipykernel", "af_otel_instrumentation.ipykernel", ()),
    ("af-otel-instrumentation-dask", "af_otel_instrumentation.dask", ()),
    ("af-otel-instrumentation-coffea", "af_otel_instrumentation.coffea", ()),
    ("af-otel-instrumentation-http", "af_otel_instrumentation.http", ()),
)
# `instrumentor.py` is the entry point of `opentelemetry-instrument` and needs its package.
_LEFT_OUT = {"__pycache__", "instrumentor.py"}


def files() -> dict[str, bytes]:
    """Return the payload's files by their path, in order.

    Raises
    ------
    AfOtelError
        A part of the payload is not installed.
    """
    return {path: content for path, (_, content) in parts().items()}


def parts() -> dict[str, tuple[str, bytes]]:
    """Return the payload's files by their path, each with the distribution that it is from.

    Raises
    ------
    AfOtelError
        A part of the payload is not installed.
    """
    modules: dict[str, tuple[str, bytes]] = {}
    for name in _THIRD_PARTY:
        modules.update((path, (name, content)) for path, content in _third_party(name))
    for name, package, kept in _OURS:
        modules.update((path, (name, content)) for path, content in _ours(name, package, kept))
    modules.update((path, (_SELF, content)) for path, content in _substitutes())
    # Namespace packages become ordinary ones, which are faster to import.
    for folder in {str(parent) for path in modules for parent in PurePosixPath(path).parents}:
        if folder.startswith(PRIVATE):
            modules.setdefault(f"{folder}/__init__.py", (_SELF, b""))
    found = {path: (_SELF, content) for path, content in _heads()}
    for path, (name, content) in modules.items():
        moved = rewrite(content.decode(), path).encode() if path.endswith(".py") else content
        found[f"{LIB}/{path}"] = name, moved
    return dict(sorted(found.items()))


def versions() -> dict[str, str]:
    """Return the version of each distribution in a payload."""
    names = dict.fromkeys([*_THIRD_PARTY, *(name for name, _, _ in _OURS)])
    return {name: metadata.version(name) for name in names}


def rewrite(source: str, path: str = "<source>") -> str:
    """Return source whose imports name the private packages.

    Parameters
    ----------
    source
        A module that imports packages by absolute names and in statements of their own.
    path
        Its path, for errors.

    Raises
    ------
    AfOtelError
        An import has a form that cannot be rewritten.
    """
    lines = source.encode().splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            moved = _moved(node.module)
            if moved != node.module:
                _replace(lines, node, node.module, moved, path)
        elif isinstance(node, ast.Import) and any(_moved(a.name) != a.name for a in node.names):
            if node.lineno != node.end_lineno:
                raise _unexpected(path, node.lineno)
            statement = "; ".join(_imported(alias) for alias in node.names)
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = (
                line[: node.col_offset] + statement.encode() + line[node.end_col_offset :]
            )
    return b"".join(lines).decode()


def _moved(module: str) -> str:
    for name, private in _RENAMED.items():
        if module == name or module.startswith(f"{name}."):
            return private + module.removeprefix(name)
    return module


def _replace(lines: list[bytes], node: ast.ImportFrom, module: str, moved: str, path: str) -> None:
    at = node.lineno - 1
    begin = lines[at][: node.col_offset]
    rest = lines[at][node.col_offset :]
    old = f"from {module} import".encode()
    if not rest.startswith(old):
        raise _unexpected(path, node.lineno)
    lines[at] = begin + f"from {moved} import".encode() + rest.removeprefix(old)


def _imported(alias: ast.alias) -> str:
    """Return statements that bind what `import alias` binds."""
    moved = _moved(alias.name)
    if alias.asname:
        return f"import {moved} as {alias.asname}"
    top = alias.name.partition(".")[0]
    parent, _, _ = _moved(top).rpartition(".")
    return f"import {moved}; from {parent} import {top}" if parent else f"import {moved}"


def _unexpected(path: str, line: int) -> AfOtelError:
    return AfOtelError(
        "An import has a form that cannot be made private",
        where=f"{path}:{line}",
        hint="install the versions of OpenTelemetry that af-otel depends on: "
        "pip install --force-reinstall af-otel",
    )


def _heads() -> Iterator[tuple[str, bytes]]:
    site = Path(__file__).parent / "bootstrap" / "site"
    for path in site.glob("*.py"):
        yield path.name, path.read_bytes()


def _substitutes() -> Iterator[tuple[str, bytes]]:
    root = Path(__file__).parent / "bootstrap" / "substitutes"
    for path in root.rglob("*.py"):
        yield f"{PRIVATE}/{path.relative_to(root).as_posix()}", path.read_bytes()


def _third_party(name: str) -> Iterator[tuple[str, bytes]]:
    for file in metadata.distribution(name).files or ():
        path = file.as_posix()
        if "__pycache__" in path or path.startswith((*_UNUSED, "..")):
            continue
        if "/licenses/" in path:
            yield f"licenses/{name}/{path.rpartition('/')[2]}", _content(file)
        elif ".dist-info/" in path or file.suffix != ".py":
            continue
        elif not path.startswith(_SEMCONV) or path.startswith(_SEMCONV_KEPT):
            yield f"{PRIVATE}/{path}", _content(file)


def _content(file: metadata.PackagePath) -> bytes:
    return Path(str(file.locate())).read_bytes()


def _ours(name: str, package: str, kept: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    spec = util.find_spec(package)
    if spec is None or spec.origin is None:
        raise AfOtelError(
            f"`{name}` is not installed, so the payload would lack it",
            where=sys.prefix,
            hint=f"pip install {name}",
        )
    root = Path(spec.origin).parent
    target = PurePosixPath(*_moved(package).split("."))
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        if path.is_file() and not _LEFT_OUT & set(inside.parts) and path.suffix != ".pyc":
            if kept and inside.parts[0] not in kept:
                continue
            yield (target / inside.as_posix()).as_posix(), path.read_bytes()
