"""Envelopes that one key opens, and signed messages, in either suite.

International: HPKE in base mode, X25519, HKDF-SHA-256, AES-256-GCM, behind a head that names the key.
National: EnvelopedData and SignedData of GB/T 35275 (`cms`). An envelope says nothing of who closed it:
what must be known of the sender is signed, within or around it.

Cites: RFC 9180, 5.1.1 and 7; GB/T 35275-2017; RFC 8998 (SM4-GCM).
"""

import os

import msgspec

from pingyao.kernel.errors import IntegrityBroken
from pingyao.platform.crypto import choose
from pingyao.platform.crypto.ports import NONCE_BYTES, TAG_BYTES
from pingyao.platform.crypto.signers import Algorithm, Signer, verify
from pingyao.platform.crypto.suites import Suite

_SEALED, _SIGNED = b"PYENV\x00\x01", b"PYSIG\x00\x01"
_ID_BYTES = 16
_SM4_BYTES = 16


class PublicKey(msgspec.Struct, frozen=True):
    """A public key and whose it is.

    Attributes:
        institution: the holder's USCC.
        id: see `suites.key_id`.
        kind: ``ed25519``, ``x25519`` or ``sm2``.
    """

    institution: str
    id: str
    kind: str
    public: bytes


def seal(suite: Suite, to: PublicKey, payload: bytes, context: bytes = b"") -> bytes:
    """Closes a payload for one key.

    Args:
        suite: of the recipient.
        to: its sealing key.
        payload: held in memory; what is large is sealed in chunks under a key that goes in here.
        context: what the payload belongs to; who opens must say the same. Where a foreign program is to
            open a national envelope, it is empty.
    """
    if suite.sealing == "x25519":
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

        head = _SEALED + bytes.fromhex(to.id)
        key = X25519PublicKey.from_public_bytes(to.public)
        return head + _hpke().encrypt(payload, key, info=head + context)
    from pingyao.platform.crypto import cms, sm2

    session, nonce = os.urandom(_SM4_BYTES), os.urandom(NONCE_BYTES)
    content = choose.seal("sm4-gcm", session, nonce, payload, context)
    return cms.enveloped(
        cms.holder(to.institution, to.id),
        sm2.Sm2PublicKey(to.public).encrypt(session),
        nonce,
        content,
    )


def recipient_of(suite: Suite, sealed: bytes) -> str:
    """Returns the name of the key that opens an envelope, as the envelope says.

    Raises:
        IntegrityBroken: it is no envelope of this suite.
    """
    if suite.sealing == "x25519":
        return _head(_SEALED, sealed)
    from pingyao.platform.crypto import cms

    try:
        return cms.key_of(cms.read_enveloped(sealed)[0].holder)
    except ValueError:
        raise _broken() from None


def open_sealed(suite: Suite, secret: bytes, sealed: bytes, context: bytes = b"") -> bytes:
    """Opens an envelope.

    Raises:
        IntegrityBroken: another key, another context, another suite, or altered bytes.
    """
    if suite.sealing == "x25519":
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        _head(_SEALED, sealed)
        at = len(_SEALED) + _ID_BYTES
        key = X25519PrivateKey.from_private_bytes(secret)
        try:
            return _hpke().decrypt(sealed[at:], key, info=sealed[:at] + context)
        except (InvalidTag, ValueError):
            raise _broken() from None
    from pingyao.platform.crypto import cms, sm2

    try:
        recipient, nonce, content = cms.read_enveloped(sealed)
        session = sm2.Sm2PrivateKey(secret).decrypt(recipient.encrypted_key)
    except ValueError:
        raise _broken() from None
    if len(session) != _SM4_BYTES or len(content) < TAG_BYTES:
        raise _broken()
    return choose.unseal("sm4-gcm", session, nonce, content, context)


def sign(suite: Suite, institution: str, key: str, signer: Signer, payload: bytes) -> bytes:
    """Returns a payload with a signature over it that stands by itself, for keeping as evidence."""
    if suite.signature is Algorithm.SM2:
        from pingyao.platform.crypto import cms

        return cms.signed(cms.holder(institution, key), payload, signer.sign(payload))
    head = _SIGNED + bytes.fromhex(key)
    return head + signer.sign(head + payload) + payload


def signer_of(suite: Suite, message: bytes) -> str:
    """Returns the name of the key a message says it is signed with.

    Raises:
        IntegrityBroken: it is no signed message of this suite.
    """
    if suite.signature is not Algorithm.SM2:
        return _head(_SIGNED, message)
    from pingyao.platform.crypto import cms

    try:
        return cms.key_of(cms.read_signed(message)[0].holder)
    except ValueError:
        raise _broken() from None


def open_signed(suite: Suite, key: PublicKey, message: bytes) -> bytes:
    """Returns what was signed; whether the key was valid then is for the register to say.

    Raises:
        IntegrityBroken: it is not this key's signature, or the message names another.
    """
    if signer_of(suite, message) != key.id:
        raise _broken()
    if suite.signature is Algorithm.SM2:
        from pingyao.platform.crypto import cms

        signer, payload = cms.read_signed(message)
        verify(suite.signature, key.public, payload, signer.signature)
        return payload
    at = len(_SIGNED) + _ID_BYTES
    signature, payload = message[at : at + 64], message[at + 64 :]
    verify(suite.signature, key.public, message[:at] + payload, signature)
    return payload


def _hpke():
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _head(magic: bytes, message: bytes) -> str:
    if not message.startswith(magic) or len(message) < len(magic) + _ID_BYTES:
        raise _broken()
    return message[len(magic) : len(magic) + _ID_BYTES].hex()


def _broken() -> IntegrityBroken:
    return IntegrityBroken(
        "crypto.bad_envelope",
        "信封或签名报文无法打开：不是发给此密钥的，或内容被改动",
        "请核对收件机构与密码套件；如无误，请对方重新发送",
    )
