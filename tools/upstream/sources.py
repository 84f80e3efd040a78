"""The source of a library's release, which carries its tests and pytest's configuration."""

from __future__ import annotations

import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError
from building import commands, lock, requirements
from upstream.environments import normalized

if TYPE_CHECKING:
    from building.progress import Progress
    from upstream.environments import Tools
    from upstream.suites import Suite

LOCK = Path(__file__).with_name("sources.lock")  # pip and build backends


def get(suite: Suite, version: str, tools: Tools, progress: Progress) -> Path:
    """Return the directory of a release's source, which is downloaded once.

    It is the source distribution of the package index, or the tag of the repository if the source
    distribution carries no tests.

    Raises
    ------
    AfOtelError
        It cannot be downloaded.
    """
    cache = tools.cache / "sources"
    directory = cache / f"{suite.library}-{version}"
    with lock.exclusive(cache / ".lock", progress.say):
        if not directory.is_dir():
            with tempfile.TemporaryDirectory(dir=cache, prefix=".unfinished-") as scratch:
                _download(suite, version, Path(scratch), tools, progress).rename(directory)
    return directory


def has_tests(suite: Suite, source: Path) -> bool:
    """Return whether a source has every file that the suite needs."""
    return all(any(source.glob(pattern)) for pattern in (*suite.files, suite.config))


def _download(suite: Suite, version: str, scratch: Path, tools: Tools, progress: Progress) -> Path:
    progress.phase("downloading the source distribution")
    source = _sdist(suite, version, scratch, tools)
    if not has_tests(suite, source):
        progress.say(f"{suite.library} {version}: the source distribution carries no tests")
        progress.phase("cloning the repository")
        source = _clone(suite.library, version, scratch, tools)
    return source


def _sdist(suite: Suite, version: str, scratch: Path, tools: Tools) -> Path:
    """Download a source distribution; its hash is checked if the suite's lock has the release."""
    python = scratch / "venv" / "bin" / "python"
    requirement = scratch / "requirements.txt"
    locked = requirements.entries(suite.lock).get((normalized(suite.library), version))
    requirement.write_text(locked or f"{suite.library}=={version}\n", encoding="utf-8")
    install = ["pip", "install", "--python", str(python), "--require-hashes"]
    download = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    download += ["--no-binary", ":all:", "--dest", "archives", "-r", str(requirement)]
    for command in (
        [tools.uv, "venv", "--no-config", "--python", tools.python, "venv"],
        [tools.uv, *install, "--only-binary", ":all:", "-r", str(LOCK)],
        [str(python), *download],
    ):
        commands.run(command, cwd=scratch, env=tools.env, log=tools.log)
    (archive,) = (scratch / "archives").iterdir()
    shutil.unpack_archive(archive, scratch / "unpacked")
    (source,) = (scratch / "unpacked").iterdir()
    return source


def _clone(library: str, version: str, scratch: Path, tools: Tools) -> Path:
    repository = _repository(library)
    command = ["git", "clone", "--quiet", "--depth", "1", "--branch", version, repository, "clone"]
    try:
        commands.run(
            command, cwd=scratch, env={**tools.env, "GIT_TERMINAL_PROMPT": "0"}, log=tools.log
        )
    except AfOtelError as error:
        raise AfOtelError(
            f"Tag `{version}` of {library} cannot be cloned; its source distribution has no tests",
            where=f"`{repository}`; the output of git is in `{tools.log}`",
            hint=f"`git config --global url.CLONE.insteadOf {repository}` if this machine has a "
            f"clone, or `--only {library}==VERSION` for a release that can be cloned",
        ) from error
    return scratch / "clone"


def _repository(library: str) -> str:
    for entry in metadata.metadata(library).get_all("Project-URL") or ():
        label, _, url = entry.partition(", ")
        if label == "Source":
            return str(url)
    raise AfOtelError(f"The metadata of {library} names no source repository")
