"""Records of files: the entry says when and by whom, and commits to the rest without showing it.

What a file is called, how large it is and what it hashes to can be guessed; so the entry holds only salted
hashes of it. Salt and facts, the opening, stay with the submitter and travel in the proof file: whoever
holds it can check the entry, and nobody else learns anything.

Entries are JSON in one canonical form: members in order of their names, no spaces, no numbers but integers.

Cites: RFC 8785 (of which this is the part without fractions).
"""

import hashlib
import secrets
from datetime import UTC, datetime

import msgspec

from pingyao.kernel.errors import IntegrityBroken

SCHEMA = "pingyao.file/1"
_SALT = 32
_Hex32 = str


class Commitment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hashes of the salt followed by the facts in canonical form, in hexadecimal."""

    sha256: _Hex32
    sm3: _Hex32


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The entry of a file.

    Attributes:
        schema: what the entry is, and in which version.
        member: the institution that submits it.
        recorded_at: the submitter's clock, UTC to the second; that it was no later is what the
            cosignatures show.
        commitment: to the facts.
    """

    schema: str
    member: str
    recorded_at: str
    commitment: Commitment


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is committed to of a file, and where it came from when it was taken in.

    Attributes:
        name: without its folder.
        size: in bytes.
        sha256, sm3: of the whole content, hexadecimal.
        modified_at: what the file system said, UTC.
        operator: who submitted it.
        system: the machine and program that took it in.
        time_source: what set the clock, as far as the machine knows.

    Cites: 《人民法院在线诉讼规则》(2021), Art. 16-18 (what was there before the record is examined apart).
    """

    name: str
    size: int
    sha256: _Hex32
    sm3: _Hex32
    modified_at: str
    operator: str
    system: str
    time_source: str


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a proof file carries beside the proof: the entry, and for its owner the opening.

    Attributes:
        entry: as logged.
        salt: hexadecimal; empty where the facts are not shown.
        facts: None where they are not shown.
    """

    entry: str
    salt: str = ""
    facts: Facts | None = None


def record(facts: Facts, member: str, at: datetime) -> Shown:
    """Makes the entry of a file under a fresh salt."""
    salt = secrets.token_bytes(_SALT)
    when = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    entry = _canonical(Record(SCHEMA, member, when, _commit(salt, facts)))
    return Shown(entry.decode(), salt.hex(), facts)


def read_record(entry: bytes) -> Record | None:
    """Reads an entry; None when it is no record of a file."""
    try:
        told = msgspec.json.decode(entry, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return told if told.schema == SCHEMA and _canonical(told) == entry else None


def format_shown(shown: Shown) -> bytes:
    """Writes what goes into a proof file's ``extra``."""
    return _canonical(shown)


def read_shown(extra: bytes | None) -> Shown | None:
    """Reads what a proof file's ``extra`` shows; None when it is not ours. Nothing of it is trusted."""
    try:
        shown = msgspec.json.decode(extra, type=Shown) if extra else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return shown if shown and _canonical(shown) == extra else None


def check_facts(shown: Shown) -> Record:
    """Checks that the entry commits to the facts shown.

    Raises:
        IntegrityBroken: it commits to others.
    """
    told = read_record(shown.entry.encode())
    try:
        salt = bytes.fromhex(shown.salt)
    except ValueError:
        salt = b""
    if (
        told is None
        or shown.facts is None
        or len(salt) != _SALT
        or salt.hex() != shown.salt
        or told.commitment != _commit(salt, shown.facts)
    ):
        raise IntegrityBroken(
            "ledger.record.not_these_facts",
            "证明文件所示的文件信息与账本条目的承诺值不符",
            "证明文件被改动；请向登记方重新取得",
        )
    return told


def _commit(salt: bytes, facts: Facts) -> Commitment:
    data = salt + _canonical(facts)
    return Commitment(hashlib.sha256(data).hexdigest(), hashlib.new("sm3", data).hexdigest())


def _canonical(value: msgspec.Struct) -> bytes:
    return msgspec.json.encode(value, order="sorted")
