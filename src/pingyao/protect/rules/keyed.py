"""Keyed values: a MAC of every cell, computed for a whole column at once, and what is made of it.

CMAC needs a block cipher and nothing else, and its chain runs over the blocks of one cell only: the
first blocks of all cells go through the library in one call, then the second blocks, and so on. The
cipher stays the library's; what is done here is exclusive-or and padding.
"""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import hashlib

import numpy as np
import pyarrow as pa
from numba import njit

from pingyao.protect.ports import Cipher
from pingyao.protect.rules.arrays import as_text, fixed, pc, text

_BLOCK = 16
# Longer cells are hashed first: a chain as long as the longest cell would run for one cell alone.
_LONGEST = 1024
_ALPHABET = np.frombuffer(b"abcdefghijkmnpqrstuvwxyz23456789", np.uint8)
TOKEN = 20


def canonical(array: pa.Array) -> pa.Array:
    """Returns the text under which equal identifiers meet: no outer blanks, capital letters.

    Cites: none; a product default, so that ``11…x`` and ``11…X`` stay the same person.
    """
    return pc.ascii_upper(pc.utf8_trim_whitespace(as_text(array)))


def cmac(cipher: Cipher, key: bytes, array: pa.Array) -> np.ndarray:
    """Computes CMAC of every cell of a text column; a null counts as the empty text.

    Returns:
        uint8[n, 16].

    Cites: NIST SP 800-38B, 6.2.
    """
    view = text(array)
    zero = np.frombuffer(cipher.encrypt_blocks(key, bytes(_BLOCK)), np.uint8)
    first = _doubled(zero)
    second = _doubled(first)
    sizes = np.diff(view.offsets)
    blocks = np.maximum(1, -(-sizes // _BLOCK))
    state = np.zeros((len(sizes), _BLOCK), np.uint8)
    order = np.argsort(-blocks, kind="stable")
    counts = -blocks[order]
    for number in range(int(blocks.max(initial=0))):
        # Cells with a block of this number are the first in this order.
        active = order[: int(np.searchsorted(counts, -number, "left"))]
        mixed = _mixed(view.data, view.offsets, active, number, state, first, second)
        out = cipher.encrypt_blocks(key, mixed.tobytes())
        state[active] = np.frombuffer(out, np.uint8).reshape(-1, _BLOCK)
    return state


def _doubled(block: np.ndarray) -> np.ndarray:
    value = int.from_bytes(block.tobytes(), "big")
    doubled = (value << 1) & ((1 << 128) - 1)
    if value >> 127:
        doubled ^= 0x87
    return np.frombuffer(doubled.to_bytes(_BLOCK, "big"), np.uint8)


@njit(cache=True, nogil=True)
def _mixed(data, offsets, active, number, state, first, second):
    made = np.empty((len(active), 16), np.uint8)
    for row in range(len(active)):
        cell = active[row]
        start = offsets[cell] + number * 16
        end = offsets[cell + 1]
        size = min(16, end - start)
        last = start + 16 >= end
        for i in range(16):
            byte = state[cell, i]
            if i < size:
                byte ^= data[start + i]
            elif i == size:
                byte ^= np.uint8(0x80)
            if last:
                byte ^= first[i] if size == 16 else second[i]
            made[row, i] = byte
    return made


class Prf:
    """A keyed function of cells, for one use: the same cell always gives the same 128 bits.

    Args:
        key: 32 bytes, derived for this use alone.
    """

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        self._cipher, self._key = cipher, key

    def __call__(self, array: pa.Array) -> np.ndarray:
        """Returns uint64[n, 2] of a column."""
        column = canonical(array)
        lengths = pc.binary_length(column)
        if (pc.max(lengths).as_py() or 0) > _LONGEST:
            column = pa.array(
                [_short(v) if v is not None and len(v) > _LONGEST // 4 else v
                 for v in column.to_pylist()],
                pa.string(),
            )  # fmt: skip
        return cmac(self._cipher, self._key, column).view("<u8")


def _short(cell: str) -> str:
    """Stands for a long cell; no cell of an institution looks like it by chance."""
    raw = cell.encode()
    return cell if len(raw) <= _LONGEST else "sha256:" + hashlib.sha256(raw).hexdigest()


def tokens(array: pa.Array, draws: np.ndarray) -> pa.Array:
    """Writes keyed values as tokens of twenty characters, 100 bits; empty cells stay empty."""
    rows = _ALPHABET[_digits(draws)]
    made = fixed(rows, array)
    return pc.if_else(pc.equal(as_text(array), ""), "", made)


@njit(cache=True, nogil=True)
def _digits(draws):
    made = np.empty((len(draws), 20), np.uint8)
    for row in range(len(draws)):
        for half in range(2):
            value = draws[row, half]
            for i in range(10):
                made[row, half * 10 + i] = value & np.uint64(31)
                value >>= np.uint64(5)
    return made
