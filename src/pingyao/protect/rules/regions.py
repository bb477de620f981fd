"""Addresses and division codes made less exact: to the county, the city or the province.

An address is read by its own words, province first: no list of counties is kept, which would be out
of date every year. The provinces are listed, because people leave their last word out.

Cites: GB/T 2260-2007 for the codes of provinces, and for what the digits of a code stand for.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import msgspec
import pyarrow as pa

from pingyao.protect.rules.arrays import as_text, pc
from pingyao.protect.rules.masks import HIDDEN, ends, pattern

LEVELS: Mapping[str, int] = {"province": 2, "city": 4, "county": 6}
"""Levels, and how many digits of a code they keep."""
_CODE = r"^(\d{%d})\d{%d}((?:\d{3}){0,2})$"
_CITY = r"(?:[^省市区县0-9]{1,10}?(?:自治州|地区|盟)|[^省市区县0-9]{1,10}(?:州|市))"
_COUNTY = r"(?:[^省市0-9]{1,10}?(?:自治县|自治旗|林区|特区|新区|县|区|旗|市))"


class _Province(msgspec.Struct, frozen=True):
    """A province: its full name, and what people call it."""

    code: str
    name: str
    short: str


class _Regions(msgspec.Struct, frozen=True):
    source: str
    provinces: tuple[_Province, ...]


@cache
def provinces() -> tuple[_Province, ...]:
    """Returns the provinces, as the pack has them."""
    data = files("pingyao.protect.data").joinpath("regions.json").read_bytes()
    return msgspec.json.decode(data, type=_Regions).provinces


@cache
def _address(level: str) -> str:
    """Returns the pattern of an address whose group is what a level keeps."""
    listed = "|".join(
        n for p in provinces() for n in sorted({p.name, p.short}, key=len, reverse=True)
    )
    parts = rf"(?:{listed})"
    if level == "province":
        return rf"^\s*(?:中国)?({parts})(?s:.*)$"
    below = _CITY if level == "city" else rf"{_CITY}?{_COUNTY}"
    # A municipality is its own city; a city may stand without its province.
    return rf"^\s*(?:中国)?({parts}?{below}|{parts})(?s:.*)$"


def codes(array: pa.Array, level: str) -> tuple[pa.Array, int]:
    """Keeps the first digits of codes of 6, 9 or 12 digits; zeros stand for the rest.

    Returns:
        The codes, and how many cells were none and are hidden.
    """
    kept = LEVELS[level]
    made, hidden = pattern(array, _CODE % (kept, 6 - kept), r"\1" + "0" * (6 - kept) + r"\2")
    digits = pc.replace_substring_regex(pc.utf8_slice_codeunits(made, 6, 12), r"\d", "0")
    whole = pc.binary_join_element_wise(pc.utf8_slice_codeunits(made, 0, 6), digits, "")
    return pc.if_else(pc.equal(made, HIDDEN), HIDDEN, whole), hidden


def addresses(array: pa.Array, level: str) -> tuple[pa.Array, int]:
    """Keeps the beginning of addresses, down to a level; what cannot be read is hidden.

    Returns:
        The beginnings, provinces by their full names, and how many cells are hidden.
    """
    made, hidden = pattern(array, _address(level), r"\1")
    for each in provinces():
        if each.short != each.name:
            # Not before what makes it another word: 吉林 is a city of its own as well.
            said = rf"^{each.short}(?:省|市)?((?:[^省市自特].*)?)$"
            named = pc.match_substring_regex(made, rf"^{each.name}")
            full = pc.replace_substring_regex(made, said, each.name + r"\1")
            made = pc.if_else(named, made, full)
    return made, hidden


def postcodes(array: pa.Array, level: str) -> tuple[pa.Array, int]:
    """Keeps as many digits of postcodes as stand for a level, and hides the others."""
    return ends(as_text(array), {"province": 1, "city": 2, "county": 4}[level], 0), 0
