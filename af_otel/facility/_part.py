"""What every section of a facility.yaml has in common: nothing unknown, every mistake in one
run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

Mistake = tuple[tuple[str | int, ...], PydanticCustomError]


class Part(BaseModel):
    """A mapping of a facility.yaml."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid",
        # What was written may be a password in the wrong place.
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    @classmethod
    def completed(cls, written: dict[str, Any]) -> dict[str, Any]:
        """What was written and what follows from it."""
        return written

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:  # noqa: ARG003
        """What cannot be as it is written, though each field of it could."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _every_mistake(cls, written: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # pydantic's own `after` validators run only where all fields are right, and an operator who
        # mends a file wants to hear everything at once.
        if not isinstance(written, dict):
            return handler(written)
        # A section whose lines are all commented out is null; it means the same as no section.
        known = {field.alias or name for name, field in cls.model_fields.items()}
        written = {
            key: value for key, value in written.items() if value is not None or key not in known
        }
        found = [
            InitErrorDetails(type=_at(error, path), loc=path, input=None)
            for path, error in cls.contradictions(written)
        ]
        try:
            made = handler(cls.completed(written))
        except ValidationError as error:
            if not found:
                raise
            found += [_again(detail) for detail in error.errors(include_url=False)]
        else:
            if not found:
                return made
        raise ValidationError.from_exception_data(cls.__name__, found, hide_input=True)


def _at(error: PydanticCustomError, path: tuple[str | int, ...]) -> PydanticCustomError:
    # What to write is told relative to the section, the mistake is at one of its fields.
    context = (error.context or {}) | {"below": len(path)}
    return PydanticCustomError(error.type, "{what}", context)


def _again(detail: Any) -> InitErrorDetails:
    kind: Any = detail["type"]
    context = detail.get("ctx", {})
    if "what" in context:
        kind = PydanticCustomError(kind, "{what}", context)
    return InitErrorDetails(type=kind, loc=detail["loc"], input=detail["input"], ctx=context)
