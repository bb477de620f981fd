"""Identifiers encrypted each in its own form, told from the cell and not from the column.

So the same identifier gives the same result wherever it stands, and joins survive even where one
column is known as an account and the other is not. A result whose form is another than that of the
value (eleven digits that have become a mobile number) is encrypted again until it is the same: still
one to one, and the way back needs nothing but the key.

Cites: NIST SP 800-38G for FF1; Black, Rogaway: Ciphers with Arbitrary Finite Domains, 2002 for the
walk.
"""

from collections.abc import Callable
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingyao.platform.crypto.ports import BlockCipher
from pingyao.protect.rules import ff1
from pingyao.protect.rules.arrays import pc
from pingyao.protect.rules.cells import text_cells
from pingyao.protect.rules.ff1 import Scheme

Work = Callable[[pa.Array, Scheme], pa.Array]


class Forms(msgspec.Struct, frozen=True):
    """What is kept of the forms, and the key.

    Attributes:
        keep: of resident ID numbers.
        bin_digits: of card numbers.
    """

    keep: Literal["", "region", "birth"]
    bin_digits: int
    key: bytes
    cipher: BlockCipher

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """The forms; a cell has the first that fits."""
        return (
            Scheme("id_card", keep=self.keep, misfits="redact"),
            Scheme("uscc", misfits="redact"),
            Scheme("bank_card", bin_digits=self.bin_digits, misfits="redact"),
            Scheme("mobile", misfits="redact"),
            Scheme("text", misfits="redact"),
            Scheme("code", misfits="redact"),
        )


def encrypt(array: pa.Array, forms: Forms) -> pa.Array:
    """Encrypts identifiers and other numbers of six digits and more; what has no form becomes null.

    A number may have capital letters before it, which stay.
    """
    return _column(array, forms, ff1.encrypt_column)


def decrypt(array: pa.Array, forms: Forms) -> pa.Array:
    """Undoes `encrypt`; what has no form becomes null."""
    return _column(array, forms, ff1.decrypt_column)


def _column(array: pa.Array, forms: Forms, crypt: Callable[..., pa.Array]) -> pa.Array:
    def work(part: pa.Array, scheme: Scheme) -> pa.Array:
        return crypt(part, scheme, forms.key, scheme.kind.encode(), forms.cipher)

    of = _forms(array, forms)
    parts: list[pa.Array] = []
    places = np.zeros(len(array), np.int64)
    for number, scheme in enumerate(forms.schemes, 1):
        rows = np.flatnonzero(of == number)
        if len(rows):
            places[rows] = np.arange(len(rows)) + sum(map(len, parts))
            parts.append(_walked(array.take(pa.array(rows)), number, scheme, forms, work))
    if not parts:
        return pa.nulls(len(array), array.type)
    return pa.concat_arrays(parts).take(pa.array(places, mask=of == 0))


def _walked(part: pa.Array, number: int, scheme: Scheme, forms: Forms, work: Work) -> pa.Array:
    made = work(part, scheme)
    outside = np.flatnonzero(_forms(made, forms) != number)
    while len(outside):
        again = work(made.take(pa.array(outside)), scheme)
        mask = np.zeros(len(made), np.bool_)
        mask[outside] = True
        made = pc.replace_with_mask(made, pa.array(mask), again)
        outside = outside[_forms(again, forms) != number]
    return made


def _forms(array: pa.Array, forms: Forms) -> NDArray[np.int64]:
    """Returns the number of each cell's form, from 1; 0 for none."""
    cells = text_cells(array)
    found, groups = np.zeros(len(array), np.int64), np.zeros(len(array), np.int64)
    for number, scheme in enumerate(forms.schemes, 1):
        ff1.fit(scheme, cells, groups)
        found[(found == 0) & (groups > 0)] = number
    return found
