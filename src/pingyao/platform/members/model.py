"""What the register of members speaks of. Frozen values."""

from typing import Literal

import msgspec

from pingyao.platform.crypto.envelopes import PublicKey

State = Literal["pending", "active", "revoked"]
Use = Literal["sign", "seal"]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An institution as it introduces itself.

    Attributes:
        uscc: unified social credit code.
        role: ``member`` or ``centre``.
        code: 金融机构编码, 14 characters, empty where there is none.
        kind: one of `codes.KINDS`.
        region: division code of GB/T 2260, six digits.
        address: where its node answers, e.g. ``https://node.bank.example:8443``; may be empty for a member
            that is never called.
    """

    name: str
    uscc: str
    role: str
    code: str = ""
    kind: str = "other"
    region: str = ""
    address: str = ""


class Key(msgspec.Struct, frozen=True):
    """A public key of an institution in the register, and when it holds.

    Attributes:
        id: see `suites.key_id`.
        kind: ``ed25519``, ``x25519`` or ``sm2``.
        not_before, not_after: seconds since the epoch; the end is not included.
        revoked_at: from then on nothing is believed; 0 while it is not revoked.
        why: the reason of that, as who revoked it gave it.
    """

    id: str
    use: Use
    kind: str
    public: bytes
    not_before: int
    not_after: int
    revoked_at: int = 0
    why: str = ""

    def holds(self, at: int) -> bool:
        """Tells whether the key is good at a time."""
        return self.not_before <= at < self.not_after and not 0 < self.revoked_at <= at


class Member(msgspec.Struct, frozen=True):
    """An institution in the register.

    Attributes:
        suite: of its keys, and the only one it is dealt with in; see `trust.own_key` for the other direction.
        fingerprint: of its keys and ours, for two people to compare, 40 digits; empty where ``via`` is set.
        known: the generation of our own keys it has taken.
        why: the reason of a revocation.
        via: number of the centre whose roster vouches for it; 0 where people compared fingerprints.
        heard: of how many of our revoked keys it has been told.
    """

    id: int
    profile: Profile
    suite: str
    state: State
    fingerprint: str
    known: int
    joined_at: int
    confirmed_at: int
    confirmed_by: str
    revoked_at: int
    why: str
    via: int = 0
    heard: int = 0
    keys: tuple[Key, ...] = ()

    def key(self, use: Use, at: int) -> Key | None:
        """Returns the newest key for a use that is good at a time."""
        good = [k for k in self.keys if k.use == use and k.holds(at)]
        return max(good, key=lambda k: k.not_before, default=None)

    def public(self, key: Key) -> PublicKey:
        """Returns a key as what envelopes are closed for."""
        return PublicKey(self.profile.uscc, key.id, key.kind, key.public)


class Search(msgspec.Struct, frozen=True):
    """Which members are wanted; what is empty does not matter.

    Attributes:
        words: in the name, USCC or 金融机构编码.
        region: how the region begins: ``14`` for a province, ``1401`` for a city.
    """

    words: str = ""
    region: str = ""
    state: State | Literal[""] = ""


class Roster(msgspec.Struct, frozen=True):
    """What is known of a centre's roster that is kept, but for the document itself, see `rosters`.

    Attributes:
        centre: number of the centre in the register; 0 for our own.
        serial: grows with every version.
        digest: SHA-256 of the document, in hexadecimal.
        signature, key: under which the document was taken; empty in our own, which is signed when asked for.
        taken_at: when this version came.
        checked_at: when the centre last said, in a signed answer to us, that this is the newest.
    """

    centre: int
    serial: int
    digest: str
    signature: bytes
    key: str
    taken_at: int
    checked_at: int


class OwnKey(msgspec.Struct, frozen=True):
    """One of this node's own keys, without its secret.

    Attributes:
        generation: counts from 1; a rotation makes one more, of both suites and uses.
        revoked_at, why: as of `Key`.
        listed_at: since when the centre's roster has it; 0 where it does not, as far as is known here.
    """

    id: str
    suite: str
    use: Use
    kind: str
    public: bytes
    generation: int
    not_before: int
    not_after: int
    revoked_at: int = 0
    why: str = ""
    listed_at: int = 0

    def holds(self, at: int) -> bool:
        """Tells whether we may use the key at a time."""
        return at < self.not_after and not self.revoked_at


class Invitation(msgspec.Struct, frozen=True):
    """An invitation as its issuer keeps it; the secret itself is not kept.

    Attributes:
        state: ``open``, ``used``, ``withdrawn`` or ``expired``.
    """

    id: int
    uscc: str
    name: str
    suite: str
    made_at: int
    made_by: str
    expires_at: int
    state: str


class Invited(msgspec.Struct, frozen=True):
    """An invitation and its text, shown once."""

    invitation: Invitation
    text: str


class Sender(msgspec.Struct, frozen=True):
    """Who sent a request: an active member, proven by its signature.

    Attributes:
        number: of the member in the register.
        key: the name of the key it signed with.
        signature: the signature itself, to be kept where a request is evidence.
        base: what was signed (RFC 9421, 2.5).
    """

    number: int
    name: str
    uscc: str
    suite: str
    key: str
    signature: bytes
    base: bytes
