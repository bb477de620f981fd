"""Keyed tokens: a value's HMAC, cut short; the same value gives the same token, nobody goes back.

Whoever holds the key can try out values, and of few possible values all of them: the key is kept as
the data are.

Cites: RFC 2104; NIST SP 800-107 r1, 5.3 for cutting short.
"""

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from pingyao.protect.rules.arrays import as_text, fixed, pc
from pingyao.protect.rules.keyed import Prf

# Neither 0 nor 1, so that no token holds what looks like a number of a person.
ALPHABET = b"abcdefghijkmnpqrstuvwxyz23456789"
LENGTH = 20
_LETTERS = np.frombuffer(ALPHABET, np.uint8)


def collision_bound(values: int, length: int = LENGTH) -> float:
    """Returns the probability, at most, that any two of so many different values share a token."""
    return min(1.0, values * (values - 1) / 2.0 / 32.0**length)


def token_column(array: pa.Array, prf: Prf) -> pa.Array:
    """Replaces cells by tokens of twenty letters and digits, 100 bits; null and empty cells stay.

    A thousand million different values share a token with a probability of at most 4e-13.

    Args:
        prf: of the domain; columns of one domain can be joined by their tokens.
    """
    made = fixed(_LETTERS[_digits(prf.macs(array), LENGTH)], array)
    return pc.if_else(pc.equal(as_text(array), ""), "", made)


@njit(cache=True, nogil=True)
def _digits(macs: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """Cuts each row into runs of five bits."""
    made = np.empty((len(macs), length), np.uint8)
    for row in range(len(macs)):
        held, bits, at = 0, 0, 0
        for i in range(length):
            if bits < 5:
                held = (held << 8 | macs[row, at]) & 0xFFFF
                bits += 8
                at += 1
            bits -= 5
            made[row, i] = (held >> bits) & 31
    return made
