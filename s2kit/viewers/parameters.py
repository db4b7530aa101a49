"""Types of the viewers' parameters, and the errors by which they refuse other values."""

import difflib
import math
from typing import Any

import param

from s2kit.errors import InvalidInputError

_FARTHEST = 1e9
"""Largest coordinate, in m or degrees."""

_LARGEST = 1e30
"""Largest value of a map: colours are computed in single precision."""


class _Named(param.Parameter):
    """Raises the package's own error for a refused value."""

    __slots__ = ()

    def _validate(self, val: Any) -> None:
        try:
            super()._validate(val)
        except InvalidInputError:
            raise
        except (TypeError, ValueError) as error:
            raise InvalidInputError(str(error)) from error


class Switch(_Named, param.Boolean):
    """True or False."""


class _Offered(_Named):
    """Takes what is offered only, also while nothing is yet."""

    def __init__(self, **settings: Any):
        super().__init__(**{"check_on_set": True} | settings)


class Choices(_Offered, param.ListSelector):
    """Some of several names."""

    def _validate(self, val: Any) -> None:
        offered = list(self.get_range().values())
        odd = [one for one in val if one not in offered] if isinstance(val, list) else []
        if odd and offered:
            raise InvalidInputError(
                f"{self.name} holds {odd[0]!r:.40}; it takes a list of "
                f"{', '.join(map(repr, offered))}"
            )
        super()._validate(val)


class Items(_Named, param.List):
    """Several of one kind."""


class Item(_Named, param.ClassSelector):
    """One of a kind."""


class Choice(_Offered, param.Selector):
    """One of several names."""

    def _validate(self, val: Any) -> None:
        offered = [str(name) for name in self.get_range().values()]
        try:
            super()._validate(val)
            if val is not None and offered and str(val) not in offered:
                raise ValueError(f"{val!r} equals a choice, but is written otherwise")  # 2021.0
        except ValueError as error:
            by_small = {name.casefold(): name for name in offered}
            near = difflib.get_close_matches(str(val).casefold(), by_small, 3)
            named = [by_small[name] for name in near] or offered[:5]
            raise InvalidInputError(
                f"{self.name}={val!r:.40} is none of the {len(offered)} that can be chosen, such "
                f"as {', '.join(named)}"
            ) from error


class Number(_Named, param.Number):
    """A number that a map can hold."""

    def _validate(self, val: float | None) -> None:
        super()._validate(val)
        if val is not None and (isinstance(val, bool) or not abs(val) <= _FARTHEST):
            raise InvalidInputError(f"{self.name}={val!s:.20} is not a number of use on a map")


class Percent(_Named, param.Integer):
    """A whole number from 0 to 100."""

    def __init__(self, default: int, *, doc: str):
        super().__init__(default, bounds=(0, 100), doc=doc)

    def _validate(self, val: int | None) -> None:
        super()._validate(val)
        if isinstance(val, bool):
            raise InvalidInputError(f"{self.name}={val} is not a number; give one from 0 to 100")


class Limits(_Named, param.Range):
    """The values of the darkest and the lightest colour; None for fitting ones."""

    def _validate(self, val: tuple | None) -> None:
        super()._validate(val)
        if val is not None and not (all(abs(v) <= _LARGEST for v in val) and val[0] < val[1]):
            raise InvalidInputError(
                f"The lowest value ({val[0]!s:.20}) is not below the highest ({val[1]!s:.20}), or "
                "one of them is not finite"
            )


class Bounds(Items):
    """West, south, east and north of a part of the map; empty for the whole region."""

    def _validate(self, val: list) -> None:
        super()._validate(val)
        if not val:
            return
        if len(val) != 4 or not all(abs(v) < math.inf for v in val):
            wrong = "is not four numbers"
        elif max(map(abs, val)) > _FARTHEST:
            wrong = "lies beyond any map"
        elif not (val[0] < val[2] and val[1] < val[3]):
            wrong = "has no width or no height"
        else:
            return
        raise InvalidInputError(
            f"{self.name}={val!s:.80} {wrong}; give [west, south, east, north] in the cube's "
            "coordinate system"
        )
