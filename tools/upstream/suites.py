"""The suites that are run: which tests of which library, and what they need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Suite:
    """The part of a library's test suite that exercises what we hook.

    Parameters
    ----------
    library
        The name of its distribution.
    files
        Patterns of the files that are copied from the library's source. Its package is not among
        them, so that the tests import the installed one.
    tests
        What pytest runs, relative to the root directory.
    config
        Pytest's configuration file in the source.
    service
        The service whose telemetry has to arrive, or the hooks were not tested.
    script
        The name of the script that runs pytest. A process is recognised by it, and these tests run
        the library in pytest's own process.
    in_package
        Whether the tests are modules of the package. Then they are copied into the installed
        one, and the root directory is `site-packages`.
    companions
        Distributions that are released together with the library, in the same version.
    programs
        Servers of `make servers` that the tests start by name.
    arguments
        More arguments of pytest.
    starts_servers
        Whether the tests start Jupyter servers as processes, which refuse to run as root.
    """

    library: str
    files: tuple[str, ...]
    tests: tuple[str, ...]
    service: str
    script: str = "pytest"
    config: str = "pyproject.toml"
    in_package: bool = False
    companions: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    starts_servers: bool = False

    @property
    def requirements(self) -> Path:
        """The file that names the library and what its tests need; its lock is beside it."""
        return Path(__file__).with_name(f"{self.library}.txt")

    @property
    def lock(self) -> Path:
        """The versions and hashes of the requirements for the releases that we pin."""
        return self.requirements.with_suffix(".lock")


SUITES = {
    suite.library: suite
    for suite in (
        Suite(
            "ipykernel",
            files=("tests",),
            tests=("tests",),
            service="jupyter-kernel",
            # Warnings are errors there, and without it pytest-asyncio warns.
            arguments=("-o", "asyncio_default_fixture_loop_scope=function"),
        ),
        Suite(
            "jupyter_server",
            files=("tests",),
            tests=("tests/base", "tests/services", "tests/test_serverapp.py"),
            service="jupyter-server",
            script="jupyter-server",
            # Warnings are errors there, and the tests are older than the newest Tornado.
            arguments=(
                *("-W", "ignore:The method, uri, and version arguments:DeprecationWarning"),
                *("-W", "ignore:The start_line argument:DeprecationWarning"),
            ),
        ),
        Suite(
            "jupyterhub",
            files=(),
            tests=tuple(
                f"jupyterhub/tests/test_{name}.py"
                for name in ("api", "app", "named_servers", "proxy", "singleuser", "spawner")
            ),
            service="jupyterhub",
            script="jupyterhub",
            config="pytest.ini",
            in_package=True,
            programs=("configurable-http-proxy",),
            starts_servers=True,
        ),
        Suite(
            "distributed",
            files=("conftest.py", "distributed/**/tests"),
            tests=tuple(
                f"distributed/{name}.py"
                for name in (
                    "tests/test_client",
                    "tests/test_nanny",
                    "tests/test_scheduler",
                    "tests/test_utils_test",
                    "tests/test_worker",
                    "deploy/tests/test_local",
                    "diagnostics/tests/test_scheduler_plugin",
                    "diagnostics/tests/test_worker_plugin",
                )
            ),
            service="dask-scheduler",
            in_package=True,
            companions=("dask",),
        ),
    )
}
