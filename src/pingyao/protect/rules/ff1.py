"""Format-preserving encryption of columns: what comes out looks like what went in, and goes back.

The same value under the same key, tweak and scheme gives the same result, so joins survive; whoever
holds the key can undo it. What does not have the shape of the scheme is refused or emptied, never
passed on as it is.

Cites: NIST SP 800-38G for FF1; GB 11643-1999, GB 32100-2015, GB 11714-1997 and ISO/IEC 7812-1 for the
check characters made new.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingyao.kernel.errors import Invalid
from pingyao.platform.crypto.ports import BlockCipher, Blocks
from pingyao.protect.rules import shapes
from pingyao.protect.rules.cells import Cells, text_cells
from pingyao.protect.rules.feistel import Feistel, Numbers, encryptable
from pingyao.protect.rules.identifiers import USCC_SET

Kind = Literal["text", "code", "mobile", "bank_card", "id_card", "uscc"]
DIGITS = "0123456789"
LOWER36 = "0123456789abcdefghijklmnopqrstuvwxyz"
UPPER36 = LOWER36.upper()
_BINS = range(6, 9)


class Scheme(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a column is encrypted in its own format.

    Attributes:
        kind: ``text`` over an alphabet, each length by itself; ``code`` keeps the capital letters
            before six digits and more; ``mobile`` keeps three digits;
            ``bank_card`` keeps the issuer's digits and makes the Luhn digit new; ``id_card`` keeps
            the region or the birth date or neither and makes the check character new (a small x
            comes back as X); ``uscc``
            keeps the eight characters of department, kind and region and makes both check
            characters new. What is kept goes into the tweak.
        alphabet: of ``text``: 2–36 different ASCII characters.
        keep: of ``id_card``: ``region``, ``birth`` or nothing; both leave too little to encrypt.
        bin_digits: of ``bank_card``: 6–8 leading digits kept.
        misfits: what becomes of values without the shape: the column is refused, or they are
            emptied.
    """

    kind: Kind
    alphabet: str = DIGITS
    keep: Literal["", "region", "birth"] = "region"
    bin_digits: int = 6
    misfits: Literal["refuse", "redact"] = "refuse"

    def __post_init__(self) -> None:
        letters = self.alphabet
        if not (letters.isascii() and 2 <= len(set(letters)) == len(letters) <= 36):
            raise Invalid("protect.bad_scheme", "字符表应为 2 至 36 个互不相同的 ASCII 字符")
        if self.bin_digits not in _BINS:
            raise Invalid("protect.bad_scheme", "卡号可保留前 6 至 8 位")


def encrypt_column(
    array: pa.Array,
    scheme: Scheme,
    key: bytes,
    tweak: bytes,
    cipher: BlockCipher,
    told: Callable[[int], None] | None = None,
) -> pa.Array:
    """Encrypts a column; nulls stay.

    Args:
        array: strings, plain or dictionary-encoded.
        key: of the cipher.
        tweak: public, e.g. the name of the column; another tweak, another result. Columns that
            are to be joined share it.
        cipher: ``aes`` or ``sm4`` of a provider.
        told: told how many values were emptied because they lack the shape.

    Returns:
        An array of the same type and length.

    Raises:
        Invalid: values lack the shape, and the scheme says to refuse.
        Unsupported: no strings, a domain under one million, or values too long.
    """
    return _column(array, scheme, cipher.keyed(key), tweak, told, decrypt=False)


def decrypt_column(
    array: pa.Array,
    scheme: Scheme,
    key: bytes,
    tweak: bytes,
    cipher: BlockCipher,
    told: Callable[[int], None] | None = None,
) -> pa.Array:
    """Undoes `encrypt_column`; a wrong key gives other values of the same shape, not an error."""
    return _column(array, scheme, cipher.keyed(key), tweak, told, decrypt=True)


def _column(
    array: pa.Array,
    scheme: Scheme,
    encrypt: Blocks,
    tweak: bytes,
    told: Callable[[int], None] | None,
    *,
    decrypt: bool,
) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        plain = array.dictionary_decode()
        given = _column(plain, scheme, encrypt, tweak, told, decrypt=decrypt)
        return given.dictionary_encode().cast(array.type)
    cells = text_cells(array)
    groups = np.zeros(len(array), np.int64)
    fit(scheme, cells, groups)
    fits = groups > 0
    misfits = int((cells.live & ~fits).sum())
    if misfits and scheme.misfits == "refuse":
        raise Invalid(
            "protect.misfits",
            f"有 {misfits:,} 个取值不具备 {scheme.kind} 的格式，未作任何处理",
            "请先核对该列；或允许将这些取值置空（redact）",
        )
    for group, rows in _parted(groups):
        _group(scheme, cells, int(group), rows, encrypt, tweak, decrypt=decrypt)
    if misfits and told is not None:
        told(misfits)
    return cells.result(fits)


def fit(scheme: Scheme, cells: Cells, groups: NDArray[np.int64]) -> None:
    """Writes to ``groups`` which cells have the shape of a scheme: 0 for those that do not."""
    data, offsets, live = cells.data, cells.offsets, cells.live
    match scheme.kind:
        case "text":
            values = shapes.values_of(scheme.alphabet.encode())
            shapes.fit_text(data, offsets, live, values, groups)
            if scheme.misfits == "redact":
                for length in np.unique(groups):
                    if length and not encryptable(len(scheme.alphabet), int(length)):
                        groups[groups == length] = 0
        case "code":
            shapes.fit_code(data, offsets, live, groups)
        case "mobile":
            shapes.fit_mobile(data, offsets, live, groups)
        case "bank_card":
            shapes.fit_card(data, offsets, live, groups)
        case "id_card":
            shapes.fit_id(data, offsets, live, groups)
        case "uscc":
            shapes.fit_uscc(data, offsets, live, groups)


def _parted(groups: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yields the rows of each group but 0."""
    for group in np.unique(groups):
        if group:
            yield int(group), np.flatnonzero(groups == group)


def _group(
    scheme: Scheme,
    cells: Cells,
    group: int,
    rows: NDArray[np.int64],
    encrypt: Blocks,
    tweak: bytes,
    *,
    decrypt: bool,
) -> None:
    match scheme.kind:
        case "text":
            body = _Body(scheme.alphabet.encode(), 0, group)
        case "code":
            letters, length = divmod(group, shapes.CODE_GROUP)
            body = _Body(DIGITS.encode(), letters, length - letters)
        case "mobile":
            body = _Body(DIGITS.encode(), shapes.MOBILE_KEPT, 11 - shapes.MOBILE_KEPT)
        case "bank_card":
            body = _Body(DIGITS.encode(), scheme.bin_digits, group - scheme.bin_digits - 1)
        case "uscc":
            sound = group == shapes.USCC_SOUND
            body = _Body(USCC_SET, shapes.USCC_KEPT, 8 if sound else 9)
        case "id_card":
            _id_cards(scheme, cells, rows, encrypt, tweak, decrypt=decrypt)
            return
    radix, size = len(body.alphabet), body.size
    feistel = Feistel(encrypt, radix, size, tweak, bound=body.keep > 0)
    a, b = np.empty(len(rows), np.uint64), np.empty(len(rows), np.uint64)
    kept = np.zeros(len(rows) if body.keep else 0, np.uint64)
    u = size // 2
    data, offsets, out = cells.data, cells.offsets, cells.out
    values, chars = shapes.values_of(body.alphabet), np.frombuffer(body.alphabet, np.uint8)
    shapes.read_text(data, offsets, rows, body.keep, u, size - u, values, radix, a, b, kept)
    if scheme.kind == "uscc" and group == shapes.USCC_OTHER:
        _walk(feistel, a, b, kept, _org_is_unsound, decrypt=decrypt)
    else:
        feistel.apply(a, b, kept, decrypt=decrypt)
    shapes.write_text(data, offsets, rows, body.keep, u, size - u, chars, radix, a, b, out)
    if scheme.kind == "bank_card":
        shapes.check_card(offsets, rows, out)
    elif scheme.kind == "uscc":
        shapes.check_uscc(offsets, rows, group == shapes.USCC_SOUND, out)


class _Body(msgspec.Struct, frozen=True):
    """What of a string is encrypted: ``size`` characters behind ``keep`` of them."""

    alphabet: bytes
    keep: int
    size: int


def _id_cards(
    scheme: Scheme,
    cells: Cells,
    rows: NDArray[np.int64],
    encrypt: Blocks,
    tweak: bytes,
    *,
    decrypt: bool,
) -> None:
    region, birth = scheme.keep == "region", scheme.keep == "birth"
    domain = shapes.ID_BY_REGION if region else shapes.ID_BY_BIRTH if birth else shapes.ID_WHOLE
    radix, length = _tight(domain)
    feistel = Feistel(encrypt, radix, length, tweak, bound=region or birth)
    half = np.uint64(feistel.halves[1])
    whole = np.empty(len(rows), np.uint64)
    kept = np.empty(len(rows) if region or birth else 0, np.uint64)
    shapes.read_id(cells.data, cells.offsets, rows, region, birth, whole, kept)
    a, b = whole // half, whole % half
    _walk(feistel, a, b, kept, lambda x, y: x * half + y < domain, decrypt=decrypt)
    whole = a * half + b
    shapes.write_id(cells.data, cells.offsets, rows, region, birth, whole, cells.out)


def _tight(domain: int) -> tuple[int, int]:
    """Returns the radix and the even length whose domain is the least that holds this one."""
    for length in (2, 4, 6):
        radix = round(domain ** (1 / length)) - 1
        while radix**length < domain:
            radix += 1
        if radix <= 1 << 16:
            return radix, length
    raise ValueError("domain too large")


def _walk(
    feistel: Feistel,
    a: Numbers,
    b: Numbers,
    kept: Numbers,
    within: Callable[[Numbers, Numbers], NDArray[np.bool_]],
    *,
    decrypt: bool,
) -> None:
    """Encrypts again what fell outside the set it came from, until it is inside: still one to one."""
    feistel.apply(a, b, kept, decrypt=decrypt)
    outside = np.flatnonzero(~within(a, b))
    while len(outside):
        x, y = a[outside], b[outside]
        feistel.apply(x, y, kept[outside] if len(kept) else kept, decrypt=decrypt)
        a[outside], b[outside] = x, y
        outside = outside[~within(x, y)]


def _org_is_unsound(a: Numbers, b: Numbers) -> NDArray[np.bool_]:
    sound = np.empty(len(a), np.bool_)
    shapes.org_is_sound(a, b, 4, sound)
    return ~sound
