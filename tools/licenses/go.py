"""Go modules required by the `go.mod` files, checked against the modules' licence files.

`go.txt` lists every module with its licence, so that the check does not need 6 GB of sources.
Each line is verified if the module is in Go's module cache; with `download`, as in CI, all are.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError
from building import commands, own_caches, space, toolchains
from building.progress import Progress
from licenses import cache
from licenses.policy import Package

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LIST = "tools/licenses/go.txt"
UPDATE = "run `.venv/bin/python tools/check_licenses.py --update`"
CLASSIFIER = Path(__file__).with_name("classifier")
HEADER = """\
# Go modules required by the go.mod files of this repository: path, version, licence.
# Generated from the modules' licence files by `tools/check_licenses.py --update`.
"""
MODULE_GB = 0.006  # average of the archive and the extracted files
NONE = "NONE"  # SPDX's keyword for "no licence"
UNKNOWN = "LicenseRef-unknown"


@dataclass(frozen=True, order=True)
class Module:
    """A module at a version, or replaced by a local directory."""

    path: str
    version: str
    directory: str = ""

    def __str__(self) -> str:
        return f"{self.path}@{self.version}"


@dataclass
class Result:
    """The outcome of a check."""

    packages: list[Package] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    """One-line errors in the list of modules."""
    unverified: int = 0
    """Modules whose licence comes from the list alone."""


def check(root: Path, *, download: bool) -> Result:
    """Compare the list with the `go.mod` files and with the modules' licence files."""
    required = requirements(root)
    listed = _read_list(root)
    verified = _verified(root, required, download=download)
    result = Result()
    for module, files in sorted(required.items()):
        licence = verified.get(module, listed.get(module, NONE if module.directory else None))
        if licence is not None:
            spdx = "" if licence == NONE else licence
            result.packages.append(Package("go", module.path, module.version, spdx, files))
        result.unverified += module not in verified
        if module.directory:
            continue
        problem = ""
        if module not in listed:
            problem = f"is not in `{LIST}`"
        elif licence != listed[module]:
            problem = f"is under `{licence}`, but `{LIST}` says `{listed[module]}`"
        if problem:
            requirers = ", ".join(f"`{file}`" for file in files)
            result.findings.append(
                f"Go module `{module.path}` {module.version} {problem}; "
                f"required by {requirers}; {UPDATE}"
            )
    result.findings += [
        f"Go module `{module.path}` {module.version} is in `{LIST}`, but not in any `go.mod`; "
        f"{UPDATE}"
        for module in sorted(listed.keys() - required.keys())
    ]
    return result


def update(root: Path) -> None:
    """Generate the list from the licence files; download the missing modules."""
    required = requirements(root)
    verified = _verified(root, required, download=True)
    lines = [
        f"{module.path} {module.version} {verified[module]}\n"
        for module in sorted(required)
        if not module.directory
    ]
    (root / LIST).write_text(HEADER + "".join(lines), encoding="utf-8")


def requirements(root: Path) -> dict[Module, tuple[str, ...]]:
    """Return the modules that the `go.mod` files below `tools/` require, each with those files.

    All builds use `-mod=readonly`, so these include every module that is linked into a server.
    """
    required: dict[Module, tuple[str, ...]] = {}
    for file in sorted(root.glob("tools/**/go.mod")):
        for module in _modules(file):
            name = file.relative_to(root).as_posix()
            required[module] = (*required.get(module, ()), name)
    return required


def _modules(file: Path) -> Iterator[Module]:
    """Yield the modules that a `go.mod` requires, after applying its replacements."""
    required: list[tuple[str, str]] = []
    replacements: dict[tuple[str, ...], list[str]] = {}
    for verb, words in _directives(file.read_text(encoding="utf-8")):
        if verb == "require":
            required.append((words[0], words[1]))
        elif verb == "replace":
            arrow = words.index("=>")
            replacements[tuple(words[:arrow])] = words[arrow + 1 :]
    for path, version in required:
        target = replacements.get((path, version)) or replacements.get((path,)) or [path, version]
        if len(target) == 1:
            yield Module(path, "", str((file.parent / target[0]).resolve()))
        else:
            yield Module(*target)


def _directives(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the verb and the arguments of each line, in and outside of blocks."""
    block = ""
    for line in text.splitlines():
        words = line.partition("//")[0].split()
        if not words:
            continue
        if words == [")"]:
            block = ""
        elif words[-1] == "(":
            block = words[0]
        elif block:
            yield block, words
        else:
            yield words[0], words[1:]


def _read_list(root: Path) -> dict[Module, str]:
    listed = {}
    if (root / LIST).is_file():
        for line in (root / LIST).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                path, version, licence = line.split(" ", 2)
                listed[Module(path, version)] = licence
    return listed


def _verified(
    root: Path, required: Mapping[Module, tuple[str, ...]], *, download: bool
) -> dict[Module, str]:
    """Return the licences of the modules whose licence files have been classified.

    Results are cached: go.sum and Go's checksum database make a module's version immutable.
    """
    name = f"go-{_classifier_digest()}"
    stored: dict[str, str] = cache.read(name) or {}
    verified = {module: stored[str(module)] for module in required if str(module) in stored}
    missing = required.keys() - verified.keys()
    local = any(module.directory for module in missing)
    # Do not install a Go only to find out that its module cache is empty.
    if missing and (download or local or shutil.which("go") or own_caches.directory().is_dir()):
        with Progress(1) as progress:
            progress.server("licences")
            reader = _Reader(toolchains.go(progress), progress)
            if download:
                reader.download(root, {module: required[module] for module in missing})
            licences = reader.classify(sorted(missing))
        verified |= licences
        stored |= {str(module): licences[module] for module in licences if not module.directory}
        cache.write(name, stored)
    return verified


def _classifier_digest() -> str:
    digest = hashlib.sha256()
    for file in sorted(CLASSIFIER.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


@dataclass
class _Reader:
    """Download and classify modules with a Go toolchain."""

    go: toolchains.Go
    progress: Progress

    def download(self, root: Path, modules: Mapping[Module, tuple[str, ...]]) -> None:
        """Download the modules that are not in the module cache, verified by their `go.sum`."""
        missing = [m for m in modules if not m.directory and not self._directory(m).is_dir()]
        if not missing:
            return
        purpose = f"to read the licences of {len(missing)} Go modules"
        space.require({self.go.module_cache: len(missing) * MODULE_GB}, purpose)
        self.progress.phase(f"downloading sources {purpose}")
        for file in sorted({modules[module][0] for module in missing}):
            versions = sorted(str(module) for module in missing if modules[module][0] == file)
            # In a copy, because Go may add lines to go.sum.
            with tempfile.TemporaryDirectory() as work:
                for name in ("go.mod", "go.sum"):
                    shutil.copyfile((root / file).with_name(name), Path(work) / name)
                self._run("mod", "download", *versions, cwd=Path(work))

    def classify(self, modules: Iterable[Module]) -> dict[Module, str]:
        """Return the licences of the modules that are on this machine."""
        directories = {module: self._directory(module) for module in modules}
        present = {module: path for module, path in directories.items() if path.is_dir()}
        if not present:
            return {}
        run = subprocess.run(
            [self.classifier()],
            input="\n".join(map(str, present.values())),
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise AfOtelError(
                "The licence files of the Go modules cannot be read",
                where=run.stderr.strip(),
                hint="run it again; if that fails as well, `go clean -modcache`",
            )
        results = [json.loads(line) for line in run.stdout.splitlines()]
        return {
            module: _expression(result["licenses"], result["unknown"])
            for module, result in zip(present, results, strict=True)
        }

    def classifier(self) -> Path:
        """Return the classifier, built on first use."""
        program = cache.directory() / f"classifier-{_classifier_digest()}"
        if not program.exists():
            self.progress.phase("building the classifier")
            with tempfile.TemporaryDirectory(dir=cache.directory()) as work:
                self._run("build", "-o", f"{work}/{program.name}", ".", cwd=CLASSIFIER)
                Path(work, program.name).replace(program)
        return program

    def _directory(self, module: Module) -> Path:
        """Return the directory of a module; Go's cache writes `!a` for `A`."""
        if module.directory:
            return Path(module.directory)
        escaped = re.sub("[A-Z]", lambda letter: f"!{letter[0].lower()}", str(module))
        return self.go.module_cache / escaped

    def _run(self, *arguments: str, cwd: Path) -> None:
        commands.run(
            [str(self.go.program), *arguments],
            cwd=cwd,
            env=self.go.env,
            log=cache.directory() / "go.log",
        )


def _expression(licences: list[str], unknown: list[str]) -> str:
    """Join licences to an SPDX expression; each unrecognised file counts as a licence, too."""
    return " AND ".join([*licences, *([UNKNOWN] if unknown else [])]) or NONE
