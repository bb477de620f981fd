"""The roster: a centre's list of its members and their keys, as one document that it signs.

Every member is given the same bytes, whatever its suite, so that two of them can compare digests and
find out a centre that tells one this and the other that. Reasons of revocations are not in it.
"""

import hashlib
from typing import Literal

import msgspec

from pingyao.kernel.errors import Conflict, IntegrityBroken
from pingyao.platform.crypto.suites import SUITES
from pingyao.platform.members import codes, documents
from pingyao.platform.members.documents import IdentityKey
from pingyao.platform.members.model import Key, Member, Profile

FORMAT = "pingyao-roster-1"
MOST_MEMBERS = 10_000
MOST_BYTES = 10 << 20


class ListedKey(IdentityKey, frozen=True, forbid_unknown_fields=True):
    """A key of a member and when it holds, as in `model.Key`."""

    not_before: int
    not_after: int
    revoked_at: int


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member as the centre knows it.

    Attributes:
        since: when the centre confirmed it.
    """

    profile: Profile
    suite: str
    state: Literal["active", "revoked"]
    since: int
    revoked_at: int
    keys: tuple[ListedKey, ...]


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed.

    Attributes:
        centre: USCC of who issues it.
        serial: greater than any before; seconds since the epoch where that is greater still, so that a
            centre restored from a backup goes on above what it has issued since.
    """

    format: str
    centre: str
    serial: int
    issued_at: int
    members: tuple[Listed, ...]


def listed(member: Member) -> Listed:
    """Returns a member as the roster shows it."""
    shown = ListedKey.__struct_fields__
    keys = tuple(ListedKey(**{f: getattr(k, f) for f in shown}) for k in member.keys)
    state = "active" if member.state == "active" else "revoked"
    return Listed(member.profile, member.suite, state, member.confirmed_at, member.revoked_at, keys)


def write(centre: str, serial: int, issued_at: int, members: tuple[Listed, ...]) -> bytes:
    """Returns a document.

    Raises:
        Conflict: it would have more members than are read.
    """
    document = msgspec.json.encode(Document(FORMAT, centre, serial, issued_at, members))
    if len(members) > MOST_MEMBERS or len(document) > MOST_BYTES:
        raise Conflict(
            "members.too_many_members", f"名册至多 {MOST_MEMBERS} 家成员", "请另设中心分担"
        )
    return document


def digest(document: bytes) -> str:
    """Returns what two members compare, and what goes into evidence."""
    return hashlib.sha256(document).hexdigest()


def signed(document: bytes) -> bytes:
    """Returns what a signature is made over; nothing else that a key signs begins like it."""
    return f"{FORMAT}\n".encode() + document


def read(document: bytes, centre: str) -> Document:
    """Reads a document whose signature held.

    Args:
        document: its bytes.
        centre: USCC of whose it must be.

    Raises:
        IntegrityBroken: it is another centre's, or says what cannot be.
    """
    try:
        if len(document) > MOST_BYTES:
            raise msgspec.ValidationError
        found = msgspec.json.decode(document, type=Document)
    except msgspec.MsgspecError:
        raise _malformed() from None
    if found.format != FORMAT or len(found.members) > MOST_MEMBERS:
        raise _malformed()
    if found.centre != centre:
        raise IntegrityBroken(
            "members.roster_of_another", "名册是另一个中心的", "请核对中心的地址，并联系中心"
        )
    codes_seen = [m.profile.uscc for m in found.members]
    keys_seen = [k.id for m in found.members for k in m.keys]
    once = len({*codes_seen}) == len(codes_seen) and len({*keys_seen}) == len(keys_seen)
    if not once or centre in codes_seen or not all(map(_fine, found.members)):
        raise _malformed()
    return found


def held(key: ListedKey) -> Key:
    """Returns a key as the register holds it."""
    return Key(key.id, key.use, key.kind, key.public, key.not_before, key.not_after, key.revoked_at)


def _fine(member: Listed) -> bool:
    profile = member.profile
    return (
        profile.role == "member"
        and codes.profile(profile) == profile
        and member.suite in SUITES
        and all(map(documents.fits, member.keys))
    )


def _malformed() -> IntegrityBroken:
    return IntegrityBroken("members.bad_roster", "名册不合规定", "请核对双方软件的版本，并联系中心")
