"""The suites that are run: which tests of which library, and what they need."""

from __future__ import annotations

from dataclasses import dataclass


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
    requirements
        What the tests need besides the library.
    in_package
        Whether the tests are modules of the package. Then they are copied into the installed
        one, and the root directory is `site-packages`.
    extra
        The library's extra for its tests.
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
    requirements: tuple[str, ...] = ()
    config: str = "pyproject.toml"
    in_package: bool = False
    extra: str = ""
    companions: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    starts_servers: bool = False

    def requirement(self, version: str) -> str:
        """Return the requirement for one release of the library, with what its tests need."""
        extra = f"[{self.extra}]" if self.extra else ""
        return f"{self.library}{extra}=={version}"


SUITES = {
    suite.library: suite
    for suite in (
        Suite(
            "ipykernel",
            files=("tests",),
            tests=("tests",),
            service="jupyter-kernel",
            requirements=(
                "flaky",
                "ipyparallel",
                "matplotlib",
                "psutil",
                "pytest-asyncio",
                "pytest-cov",  # tests look at its option
                "pytest-timeout",
                "trio",
            ),
            # Warnings are errors there, and without it pytest-asyncio warns.
            arguments=("-o", "asyncio_default_fixture_loop_scope=function"),
        ),
        Suite(
            "jupyter_server",
            files=("tests",),
            tests=("tests/base", "tests/services", "tests/test_serverapp.py"),
            service="jupyter-server",
            script="jupyter-server",
            extra="test",
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
            extra="test",
            programs=("configurable-http-proxy",),
            requirements=("pytest-timeout",),
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
            requirements=(
                "bokeh",
                "numpy",
                "pandas",
                "prometheus_client",
                "pyarrow",
                "pytest",
                "pytest-timeout",
                "requests",
            ),
            in_package=True,
            companions=("dask",),
        ),
    )
}
