"""Keyed functions of cells: for each use and scope a key of its own, and a MAC of a whole column at once.

Cites: RFC 2104.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingyao.platform.crypto.lanes import hmac_many
from pingyao.protect.ports import Keys
from pingyao.protect.rules.arrays import as_text, pc
from pingyao.protect.rules.cells import Cells

HASHES = {"intl": "sha256", "gm": "sm3"}
CIPHERS = {"intl": ("aes", 32), "gm": ("sm4", 16)}
_CHECK_BYTES = 8


def canonical(array: pa.Array) -> pa.Array:
    """Returns the text under which equal identifiers meet: no outer blanks, capital letters.

    Cites: none; a product default, so that ``11…x`` and ``11…X`` stay the same person.
    """
    return pc.ascii_upper(pc.utf8_trim_whitespace(as_text(array)))


class Prf:
    """A keyed function of cells, for one use: the same cell always gives the same 256 bits.

    Args:
        algorithm: ``sha256`` or ``sm3``.
        key: 32 bytes, derived for this use alone.
    """

    def __init__(self, algorithm: str, key: bytes) -> None:
        self._algorithm, self._key = algorithm, key

    def macs(self, array: pa.Array) -> NDArray[np.uint8]:
        """Returns uint8[n, 32] of a column; a null counts as the empty text."""
        column = canonical(array)
        cells = Cells(column.fill_null("") if column.null_count else column)
        return hmac_many(
            self._algorithm, self._key, cells.data, cells.offsets, np.arange(len(column))
        )

    def __call__(self, array: pa.Array) -> NDArray[np.uint64]:
        """Returns uint64[n, 4] of a column."""
        return self.macs(array).view("<u8")


class Keyed:
    """The keys of one scope: within it equal values meet again, between scopes they do not.

    Args:
        scope: each recipient gets one of its own.
    """

    def __init__(self, keys: Keys, scope: str) -> None:
        self._keys, self._scope = keys, scope
        self.suite = keys.suite
        self._made: dict[str, Prf] = {}

    def secret(self, use: str, length: int = 32) -> bytes:
        """Returns the key of a use within the scope."""
        # The scope's length stands before it, so that no two pairs share a name.
        return self._keys.derive(f"protect/{len(self._scope)}:{self._scope}/{use}", length)

    def prf(self, use: str) -> Prf:
        """Returns the keyed function of a use within the scope."""
        if use not in self._made:
            self._made[use] = Prf(HASHES[self.suite], self.secret(use))
        return self._made[use]

    @property
    def check(self) -> str:
        """What tells this key and scope from others, and nothing else about them."""
        return self.secret("check", _CHECK_BYTES).hex()
