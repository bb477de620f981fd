"""Signed notes and verifier keys.

Cites: C2SP signed-note v1.0.0.
"""

import hashlib
from collections.abc import Iterable

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.ledger.formats import signature
from pingyao.ledger.formats.text import malformed, to_base64, unbase64
from pingyao.ledger.model import (
    SIGNATURE_TYPES,
    Note,
    SignatureLine,
    SignatureType,
    Signed,
    VerifierKey,
)
from pingyao.platform.crypto.signers import LENGTHS, Signer

_DASH = "— "
# The specification asks for at least 16; a post-quantum signature is 3.3 kB of text.
MAX_SIGNATURES = 100
MAX_BYTES = 1_000_000


def parse_note(data: bytes | str) -> Note:
    """Reads a note; none of its signatures is checked, so its text is not to be trusted yet.

    Raises:
        IntegrityBroken: it is no note, or beyond the limits.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        if len(data) > MAX_BYTES:
            raise ValueError("too long")
        text.encode("utf-8")
        if any(c < " " and c != "\n" for c in text):
            raise ValueError("control character")
        body, found, rest = text.rpartition("\n\n")
        lines = rest.split("\n")
        if not found or lines.pop() or not lines or len(lines) > MAX_SIGNATURES:
            raise ValueError("no signatures")
        return Note(body + "\n", tuple(_parse_line(line) for line in lines))
    except ValueError:
        raise malformed("note", "签名文书（signed note）格式不对") from None


def _parse_line(line: str) -> SignatureLine:
    parts = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(parts) != 2 or not is_key_name(parts[0]):
        raise ValueError("no signature line")
    blob = unbase64(parts[1])
    if len(blob) < 5:
        raise ValueError("no signature")
    return SignatureLine(parts[0], blob[:4], blob[4:])


def parse_lines(data: bytes) -> tuple[SignatureLine, ...]:
    """Reads signature lines without a text, as witnesses return them.

    Raises:
        IntegrityBroken: they are none.
    """
    return parse_note(b"-\n\n" + data).signatures


def format_line(line: SignatureLine) -> str:
    """Writes a signature line."""
    return f"{_DASH}{line.name} {to_base64(line.key_id + line.blob)}\n"


def format_note(note: Note) -> str:
    """Writes a note."""
    return note.text + "\n" + "".join(map(format_line, note.signatures))


def is_key_name(name: str) -> bool:
    """Tells whether a name may stand in a signature line: not empty, no spaces, no plus."""
    return bool(name) and "+" not in name and not any(c.isspace() or c < " " for c in name)


def key_id(name: str, kind: SignatureType, public_key: bytes) -> bytes:
    """Returns the four bytes by which a signature line points at a key."""
    return hashlib.sha256(name.encode() + b"\n" + kind.prefix + public_key).digest()[:4]


def verifier_key(name: str, kind: SignatureType, public_key: bytes) -> VerifierKey:
    """Returns the verifier key of a public key.

    Raises:
        Invalid: the name or the key cannot be one.
    """
    if not is_key_name(name) or len(public_key) != LENGTHS[kind.algorithm].public:
        raise Invalid("ledger.vkey.malformed", "验证公钥（vkey）的名称或长度不对", _VKEY_REMEDY)
    return VerifierKey(name, kind, public_key, key_id(name, kind, public_key))


_VKEY_REMEDY = "请从密钥持有者处重新取得，形如 名称+8位十六进制+Base64"


def parse_vkey(text: str) -> VerifierKey:
    """Reads a verifier key. Cites: C2SP signed-note v1.0.0, Verifier keys.

    Raises:
        Invalid: it is malformed, of an unknown kind, or its ID does not fit the key.
    """
    try:
        name, stated, encoded = text.split("+", 2)
        data = unbase64(encoded)
        kind = next(t for t in SIGNATURE_TYPES if data.startswith(t.prefix))
        key = verifier_key(name, kind, data[len(kind.prefix) :])
        if stated != key.key_id.hex():
            raise ValueError("another key")
    except (ValueError, StopIteration):
        raise Invalid("ledger.vkey.malformed", "验证公钥（vkey）写法有误", _VKEY_REMEDY) from None
    return key


def format_vkey(key: VerifierKey) -> str:
    """Writes a verifier key."""
    return f"{key.name}+{key.key_id.hex()}+{to_base64(key.type.prefix + key.public_key)}"


def sign(
    text: str, name: str, kind: SignatureType, signer: Signer, at: int | None = None
) -> SignatureLine:
    """Signs the text of a note.

    Args:
        at: Unix seconds; for the kinds that say when.
    """
    message = signature.message(text, name, kind, at)
    blob = signature.blob(signer.sign(message), kind, at)
    return SignatureLine(name, key_id(name, kind, signer.public_key), blob)


def verify_note(note: Note, keys: Iterable[VerifierKey]) -> tuple[Signed, ...]:
    """Checks every signature of a known key; others are passed over.

    Returns:
        The keys that signed, each once, in the order of the lines; never none.

    Raises:
        IntegrityBroken: a known key's signature does not verify, or no known key signed.
    """
    known = {(k.name, k.key_id): k for k in keys}
    signed: dict[VerifierKey, Signed] = {}
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is not None and key not in signed:
            signed[key] = Signed(key, signature.verify(note.text, line, key))
    if not signed:
        raise IntegrityBroken(
            "ledger.note.unsigned",
            "没有一个受信任的签名",
            "请核对信任策略中的公钥，或向日志重新取证",
        )
    return tuple(signed.values())
