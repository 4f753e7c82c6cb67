"""How many pieces may fail before the fan-in does."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from airflow_mapping_kit.exceptions import FanInError

_REMEDY = (
    "give tolerated_failure_count a whole number from 0, tolerated_failure_percentage one from 0 to 100."
)


@dataclass(frozen=True)
class Tolerance:
    """How many failures a fan-in tolerates. A limit that is `None` doesn't apply; without any, it tolerates none."""

    count: int | None
    percentage: Fraction | None

    @classmethod
    def of(cls, count: Any, percentage: Any) -> Tolerance:
        """Return the tolerance of a DAG's author: numbers, or the text of a rendered template.

        :raises FanInError: if a value is not a number, is below 0, or is over 100 percent.
        """
        return cls(_count(count), _percentage(percentage))

    def exceeded(self, failed: int, total: int) -> bool:
        """Tell whether `failed` of `total` pieces are more than tolerated.

        It compares whole numbers: 7 of 100 are not more than 7 %, and 1 of 3 is more than 33 %. One exceeded limit
        is enough. 0 of 0 are never too many.
        """
        if self.count is None and self.percentage is None:
            return failed > 0
        too_many = self.count is not None and failed > self.count
        return too_many or (self.percentage is not None and failed * 100 > self.percentage * total)

    def __str__(self) -> str:
        """Return it as an error says it: `at most 3 and at most 5 % tolerated`."""
        limits = [] if self.count is None else [f"at most {self.count}"]
        if self.percentage is not None:
            limits.append(f"at most {float(self.percentage):g} %")
        return f"{' and '.join(limits) or 'none'} tolerated"


def _count(value: Any) -> int | None:
    number = _number("tolerated_failure_count", value)
    if number is not None and (number < 0 or number.denominator != 1):
        raise FanInError(f"tolerated_failure_count={value!r} is not a number of pieces: {_REMEDY}")
    return None if number is None else int(number)


def _percentage(value: Any) -> Fraction | None:
    number = _number("tolerated_failure_percentage", value)
    if number is not None and not 0 <= number <= 100:  # noqa: PLR2004 -- per cent
        raise FanInError(f"tolerated_failure_percentage={value!r} is not a percentage: {_REMEDY}")
    return number


def _number(name: str, value: Any) -> Fraction | None:
    # A template of nothing is the text None.
    if value is None or value == "None":
        return None
    if not isinstance(value, bool):
        try:
            # Through text: 0.1 is meant as a tenth, not as the nearest binary fraction.
            return Fraction(str(value).strip())
        except (ValueError, ZeroDivisionError):
            pass
    raise FanInError(f"{name}={value!r} is not a number: {_REMEDY}")
