"""What institutions hand each other: identities signed by their own keys, invitations, fingerprints."""

import base64
import hashlib
from collections.abc import Sequence

import msgspec

from pingyao.kernel.errors import IntegrityBroken, Invalid, NotFound
from pingyao.platform.crypto.signers import LENGTHS, Signer, verify
from pingyao.platform.crypto.suites import SUITES, key_id, suite_of
from pingyao.platform.members import codes
from pingyao.platform.members.model import Key, OwnKey, Profile, Use

FORMAT = "pingyao-identity-1"
_INVITATION = "PYI1."
_MOST = 16 * 1024
_KINDS: dict[tuple[Use, str], int] = {
    **{("sign", s.signature.value): LENGTHS[s.signature].public for s in SUITES.values()},
    ("seal", "x25519"): 32,
    ("seal", "sm2"): 65,
}
"""What keys there are, and how many bytes their public halves have."""


class IdentityKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A public key as its holder shows it."""

    id: str
    use: Use
    kind: str
    public: bytes


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who an institution is and what keys it has in one suite: one to sign, one to seal."""

    format: str
    profile: Profile
    suite: str
    keys: tuple[IdentityKey, ...]
    made_at: int

    def key(self, use: Use) -> IdentityKey:
        """Returns the key for a use; there is one for each."""
        return next(k for k in self.keys if k.use == use)

    def held(self, now: int, until: int) -> tuple[Key, ...]:
        """Returns the keys as the register holds them."""
        return tuple(Key(k.id, k.use, k.kind, k.public, now, until) for k in self.keys)


class SignedIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An identity and the signature of its own signing key over it.

    Attributes:
        document: the `Identity` as JSON, to the byte.
    """

    document: bytes
    signature: bytes


class InvitationText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an invitation says.

    Attributes:
        centre, address: who invites, and where its node answers.
        keys: the names of the centre's keys in the suite; nobody else's are believed.
        uscc: of the one invited; nobody else may use it.
        secret: what makes it an invitation.
    """

    centre: str
    address: str
    keys: tuple[str, str]
    uscc: str
    suite: str
    expires_at: int
    secret: str


def sign_identity(
    profile: Profile, suite: str, keys: Sequence[OwnKey], signer: Signer, now: int
) -> SignedIdentity:
    """Returns this node's identity in a suite."""
    shown = tuple(IdentityKey(k.id, k.use, k.kind, k.public) for k in keys)
    document = msgspec.json.encode(Identity(FORMAT, profile, suite, shown, now))
    return SignedIdentity(document, signer.sign(_signed(document)))


def read_identity(signed: SignedIdentity) -> Identity:
    """Returns an identity, once it is well formed and signed by the key it shows.

    Raises:
        Invalid: it is not well formed.
        IntegrityBroken: the signature does not hold.
    """
    try:
        if len(signed.document) > _MOST:
            raise msgspec.ValidationError
        found = msgspec.json.decode(signed.document, type=Identity)
    except msgspec.MsgspecError:
        raise _malformed() from None
    suite = suite_of(found.suite)
    wanted = {"sign": suite.signature.value, "seal": suite.sealing}
    fine = (
        found.format == FORMAT
        and {k.use: k.kind for k in found.keys} == wanted
        and len(found.keys) == len(wanted)
        and all(map(fits, found.keys))
        and found.profile == codes.profile(found.profile)
    )
    if not fine:
        raise _malformed()
    if found.key("sign").public == found.key("seal").public:
        raise _malformed()  # one key for two uses proves less than it seems
    verify(suite.signature, found.key("sign").public, _signed(signed.document), signed.signature)
    return found


def fits(key: IdentityKey) -> bool:
    """Tells whether a key is of a kind there is, and has the name it must have."""
    length = _KINDS.get((key.use, key.kind))
    return len(key.public) == length and key.id == key_id(key.kind, key.public)


def fingerprint(centre: Identity, member: Identity) -> str:
    """Returns what two people compare: 40 digits made of both sides' institutions and keys.

    Both sides compute it from what each has seen; who sits between them with keys of her own would
    need two pairs of keys that agree in 132 bits.
    """
    parts: list[str] = ["pingyao-fingerprint-1", centre.suite]
    for each in (centre, member):
        parts += [each.profile.uscc, each.profile.role, each.key("sign").id, each.key("seal").id]
        parts += [each.key("sign").public.hex(), each.key("seal").public.hex()]
    digest = hashlib.new(suite_of(centre.suite).digest, "\n".join(parts).encode()).digest()
    return f"{int.from_bytes(digest) % 10**40:040d}"


def digits(given: str) -> str:
    """Returns the digits of a fingerprint however it was written down."""
    return "".join(c for c in given if c.isascii() and c.isdigit())


def grouped(given: str) -> str:
    """Returns a fingerprint in groups of five, as it is read out."""
    return " ".join(given[i : i + 5] for i in range(0, len(given), 5))


def write_invitation(text: InvitationText) -> str:
    """Returns an invitation as one word that can be mailed."""
    return _INVITATION + base64.urlsafe_b64encode(msgspec.json.encode(text)).decode().rstrip("=")


def read_invitation(given: str) -> InvitationText:
    """Reads an invitation.

    Raises:
        Invalid: it is none, or was cut.
    """
    given = "".join(given.split())
    body = given.removeprefix(_INVITATION)
    try:
        if len(given) > _MOST or body == given:
            raise ValueError
        raw = base64.b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True)
        found = msgspec.json.decode(raw, type=InvitationText)
    except (ValueError, msgspec.MsgspecError):
        raise Invalid(
            "members.bad_invitation", "邀请不完整或不是邀请", "请向中心索取整段邀请文字"
        ) from None
    codes.address(found.address)
    return found


def check_centre(invitation: InvitationText, identity: Identity) -> None:
    """Refuses a centre that is not the one that invited.

    Raises:
        IntegrityBroken: its institution, suite or keys differ.
    """
    shown = (identity.key("sign").id, identity.key("seal").id)
    said = (identity.profile.uscc, identity.suite, identity.profile.role)
    if shown != invitation.keys or said != (invitation.centre, invitation.suite, "centre"):
        raise IntegrityBroken(
            "members.other_centre",
            "应答的节点不是发出邀请的中心：机构或密钥不符",
            "请核对网络与地址；中心若已轮换密钥，请其重新发出邀请",
        )


def unknown() -> NotFound:
    """Returns what is raised when there is no such member."""
    return NotFound("members.no_such_member", "没有这个成员", "请刷新成员列表后重试")


def _signed(document: bytes) -> bytes:
    return f"{FORMAT}\n".encode() + document


def _malformed() -> Invalid:
    return Invalid(
        "members.bad_identity", "机构身份文件不合规定", "请核对双方软件的版本，重新生成后再试"
    )
