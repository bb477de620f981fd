"""Numbers written out as text, a column at a time, for the kernel that reads text."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
from numba import njit
from numpy.typing import NDArray

_LONGEST = 24
_MOST_PLACES = 9
_POWERS = np.array([10**i for i in range(19)], np.int64)
_TENS = np.array([10.0**i for i in range(19)], np.float64)
_EXACT = 2.0**53


@njit(cache=True, nogil=True)
def _write(text: NDArray[np.uint8], at: int, value: int, places: int) -> int:
    """Writes a number of so many decimals; returns where it ends."""
    if value < 0:
        text[at] = 45
        at += 1
        value = -value
    width = 1
    while width < 19 and value >= _POWERS[width]:
        width += 1
    width = max(width, places + 1)
    end = at + width + (places > 0)
    i = end - 1
    if places:
        for _ in range(places):
            text[i] = 48 + value % 10
            value //= 10
            i -= 1
        text[i] = 46
        i -= 1
    while value > 99:
        pair = value % 100
        value //= 100
        text[i] = 48 + pair % 10
        text[i - 1] = 48 + pair // 10
        i -= 2
    text[i] = 48 + value % 10
    if value > 9:
        text[i - 1] = 48 + value // 10
    return end


@njit(cache=True, nogil=True)
def fixed(values: NDArray[np.int64], places: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Writes whole numbers of units of ``10**-places`` as decimals; returns bytes and offsets."""
    text = np.empty(len(values) * _LONGEST, np.uint8)
    offsets = np.zeros(len(values) + 1, np.int64)
    at = 0
    for i in range(len(values)):
        at = _write(text, at, values[i], places)
        offsets[i + 1] = at
    return text[:at], offsets


@njit(cache=True, nogil=True)
def floating(values: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Writes floating-point numbers as the shortest decimals that are them; returns bytes, offsets.

    Whole ones have no decimals. What needs more than nine is cut there: it is a fraction anyway.
    No number, and what is too large to be told exactly, is written as nothing.
    """
    text = np.empty(len(values) * _LONGEST, np.uint8)
    offsets = np.zeros(len(values) + 1, np.int64)
    at = 0
    for i in range(len(values)):
        value = values[i]
        if abs(value) < _EXACT:
            places = 2 if abs(value) * 100 < _EXACT else 0
            whole = np.rint(value * _TENS[places])
            while whole / _TENS[places] != value and places < _MOST_PLACES:
                if abs(value) * _TENS[places + 1] >= _EXACT:
                    break
                places += 1
                whole = np.rint(value * _TENS[places])
            units = int(whole)
            while places and units % 10 == 0:
                units //= 10
                places -= 1
            at = _write(text, at, units, places)
        offsets[i + 1] = at
    return text[:at], offsets
