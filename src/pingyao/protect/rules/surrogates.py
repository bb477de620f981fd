"""Made-up values that look real: the same original gives the same one, everywhere under one key."""

# pyright: basic
# NumPy and Arrow kernels work on values whose types the checker cannot see.

from functools import cache
from importlib.resources import files

import msgspec
import numpy as np
import pyarrow as pa

from pingyao.protect.rules.arrays import as_text, fixed, pc

_REGION = (
    r"^((?:[^省市区县0-9]{2,8}(?:省|自治区|特别行政区))?(?:[^省市区县0-9]{1,10}(?:自治州|地区|盟|州|市))?"
    r"(?:[^省市区县0-9]{1,10}(?:区|县|旗|市))?)"
)


class Pools(msgspec.Struct, frozen=True):
    """Parts that made-up values are put together from."""

    surnames: str
    given: str
    streets: tuple[str, ...]
    firms: tuple[str, ...]
    trades: tuple[str, ...]
    places: tuple[str, ...]


@cache
def pools() -> Pools:
    """Returns the shipped parts."""
    data = files("pingyao.protect.data").joinpath("pools.json").read_bytes()
    return msgspec.json.decode(data, type=Pools)


class Draws:
    """Choices made from the keyed bits of each cell, one after another."""

    def __init__(self, bits: np.ndarray) -> None:
        # Both halves of 128 bits, mixed once more for choices beyond what they hold.
        self._bits = bits[:, 0].copy()
        self._more = bits[:, 1] | np.uint64(1)

    def below(self, bound: int) -> np.ndarray:
        """Returns a whole number from 0 for each cell, below a bound of at most 2³²."""
        picked = ((self._bits >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32)
        self._bits = self._bits * np.uint64(6364136223846793005) + self._more
        return picked.astype(np.int64)

    def among(self, pool: tuple[str, ...] | str) -> pa.Array:
        """Returns one of a pool for each cell."""
        return pa.array([*pool], pa.string()).take(pa.array(self.below(len(pool))))


def surrogate(array: pa.Array, type_: str, bits: np.ndarray) -> pa.Array:
    """Puts a made-up value of a type in the place of each cell; empty cells and nulls stay.

    Args:
        type_: a key of `MAKERS`.
        bits: uint64[n, 2], a keyed function of the cells.
    """
    column = as_text(array)
    made = MAKERS[type_](column, Draws(bits))
    return pc.if_else(pc.equal(column, ""), "", made)


def _name(column: pa.Array, draws: Draws) -> pa.Array:
    parts = pools()
    # Two or three characters, as the original has; a longer name (a minority's, a foreigner's) four.
    long = pc.greater(pc.utf8_length(column), 2)
    third = pc.if_else(long, draws.among(parts.given), "")
    return pc.binary_join_element_wise(
        draws.among(parts.surnames), draws.among(parts.given), third, ""
    )


def _organisation(column: pa.Array, draws: Draws) -> pa.Array:
    parts = pools()
    return pc.binary_join_element_wise(
        draws.among(parts.places),
        draws.among(parts.firms),
        draws.among(parts.given),
        draws.among(parts.trades),
        "有限公司",
        "",
    )


def _party(column: pa.Array, draws: Draws) -> pa.Array:
    """A person or a firm, by what stands in the cell; a number of theirs stays a number."""
    han = pc.match_substring_regex(column, r"^\p{Han}")
    firm = pc.greater(pc.utf8_length(column), 5)
    number = pc.if_else(
        pc.match_substring_regex(column, r"^1[3-9]\d{9}$"),
        _mobile(column, draws),
        _number(column, draws),
    )
    named = pc.if_else(firm, _organisation(column, draws), _name(column, draws))
    return pc.if_else(han, named, number)


def _number(column: pa.Array, draws: Draws) -> pa.Array:
    return fixed(_digits(draws, 12), column)


def _address(column: pa.Array, draws: Draws) -> pa.Array:
    parts = pools()
    region = pc.struct_field(pc.extract_regex(column, _REGION.replace("^(", "^(?P<r>", 1)), "r")
    known = pc.not_equal(region, "").fill_null(False)
    place = pc.if_else(
        known, region, pc.binary_join_element_wise(draws.among(parts.places), "市", "")
    )
    numbers = [pc.cast(pa.array(draws.below(n) + 1), pa.string()) for n in (900, 30)]
    room = pc.cast(pa.array((draws.below(28) + 1) * 100 + draws.below(6) + 1), pa.string())
    return pc.binary_join_element_wise(
        place, draws.among(parts.streets), "路", numbers[0], "号", numbers[1], "栋", room, "室", ""
    )


def _digits(draws: Draws, width: int) -> np.ndarray:
    made = np.empty((len(draws.below(2)), width), np.uint8)
    for start in range(0, width, 4):
        size = min(4, width - start)
        value = draws.below(10**size)
        for i in range(size):
            made[:, start + size - 1 - i] = 48 + value % 10
            value //= 10
    return made


def _mobile(column: pa.Array, draws: Draws) -> pa.Array:
    rows = np.hstack([np.full((len(column), 1), 49, np.uint8), _digits(draws, 10)])
    rows[:, 1] = 51 + draws.below(7)
    return fixed(rows, column)


def _email(column: pa.Array, draws: Draws) -> pa.Array:
    # example.com belongs to nobody (RFC 2606): a test that sends mail reaches no stranger.
    rows = np.hstack([np.full((len(column), 1), 117, np.uint8), _digits(draws, 12)])
    return pc.binary_join_element_wise(fixed(rows, column), "@example.com", "")


def _landline(column: pa.Array, draws: Draws) -> pa.Array:
    area = pc.struct_field(pc.extract_regex(column, r"^(?P<a>0\d{2,3}-?)?"), "a").fill_null("")
    rows = _digits(draws, 8)
    rows[:, 0] = 50 + draws.below(7)
    return pc.if_else(
        pc.match_substring_regex(column, r"^1[3-9]\d{9}$"),
        _mobile(column, draws),
        pc.binary_join_element_wise(area, fixed(rows, column), ""),
    )


MAKERS = {
    "person_name": _party,
    "relation_contact_person": _party,
    "staff_id_or_name": _party,
    "nickname": _party,
    "counterparty": _party,
    "org_name": _organisation,
    "address": _address,
    "mobile": _mobile,
    "phone": _landline,
    "landline": _landline,
    "email": _email,
}
