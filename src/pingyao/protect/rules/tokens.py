"""Keyed tokens: a value's HMAC, cut short; the same value gives the same token, nobody goes back.

Whoever holds the key can try out values, and of few possible values all of them: the key is kept as
the data are.

Cites: RFC 2104; NIST SP 800-107 r1, 5.3 for cutting short.
"""

from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingyao.kernel.errors import Invalid
from pingyao.platform.crypto import derive
from pingyao.platform.crypto.lanes import hmac_many
from pingyao.protect.rules.cells import Cells, text_cells

LEAST_BITS, MOST_BITS = 64, 256
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def collision_bound(values: int, bits: int) -> float:
    """Returns the probability, at most, that any two of so many different values share a token."""
    return min(1.0, values * (values - 1) / 2.0 / 2.0**bits)


def token_column(
    array: pa.Array,
    key: bytes,
    domain: str,
    algorithm: Literal["sha256", "sm3"] = "sha256",
    bits: int = 128,
) -> pa.Array:
    """Replaces strings by tokens of hexadecimal digits; nulls stay.

    Args:
        key: 32 bytes; a key of its own is derived for the domain.
        domain: columns of one domain can be joined by their tokens, of two domains they cannot.
        bits: of a token, 64–256 in steps of 8. With 128, a thousand million different values
            share a token with a probability of at most 1.5e-21; with 64, of 2.7 %.

    Raises:
        Invalid: another number of bits.
        Unsupported: the column holds no text.
    """
    if not LEAST_BITS <= bits <= MOST_BITS or bits % 8:
        raise Invalid("protect.token_bits", f"令牌不能取 {bits} 位", "可取 64 至 256 之间 8 的倍数")
    cells = text_cells(array)
    rows = np.flatnonzero(cells.live)
    macs = hmac_many(
        algorithm, derive.from_key(key, f"token/{domain}"), cells.data, cells.offsets, rows
    )
    return _as_hex(macs[:, : bits // 8], rows, cells)


def _as_hex(macs: NDArray[np.uint8], rows: NDArray[np.int64], cells: Cells) -> pa.Array:
    digits = np.empty((len(macs), macs.shape[1] * 2), np.uint8)
    digits[:, ::2], digits[:, 1::2] = _HEX[macs >> 4], _HEX[macs & 15]
    sizes = np.where(cells.live, digits.shape[1], 0)
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    validity = (
        None
        if len(rows) == len(sizes)
        else pa.py_buffer(np.packbits(cells.live, bitorder="little"))
    )
    buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(digits)]
    return pa.Array.from_buffers(pa.large_string(), len(sizes), buffers).cast(pa.string())
