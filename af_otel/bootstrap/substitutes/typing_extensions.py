"""The names of typing_extensions that OpenTelemetry uses."""

from typing import Any, NoReturn, TypeVar, final

__all__ = ["Self", "assert_never", "deprecated", "final"]

T = TypeVar("T")
Self = Any


def assert_never(value: Any) -> NoReturn:
    """Raise AssertionError, as code that cannot be reached does."""
    raise AssertionError(f"Expected code to be unreachable, but got: {value!r}")


class deprecated:  # noqa: N801 - named as in typing_extensions
    """Do nothing: users of the private copy do not see its warnings."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def __call__(self, decorated: T) -> T:
        """Return what is decorated as it is."""
        return decorated
