"""What every spec is: a frozen record that refuses what it does not know, numbers without a bound included."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Spec(BaseModel):
    """A frozen record that refuses unknown keys, infinities, and YAML's yes and no in place of a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_is_a_truth_value(cls, value: Any, info: ValidationInfo) -> Any:
        values = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(item, bool) for item in values) and _holds_numbers(
            cls.model_fields[str(info.field_name)].annotation
        ):
            raise ValueError("Input should be a number")
        return value


def _holds_numbers(annotation: Any) -> bool:
    return annotation in (int, float) or any(_holds_numbers(part) for part in get_args(annotation))
