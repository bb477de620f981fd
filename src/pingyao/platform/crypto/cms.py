"""The message structures of GB/T 35275: digital envelopes and signed data under the SM algorithms.

What the standard leaves to certificates is filled in without them: the issuer is a name of the
institution, the serial number is that of its key. The content cipher is SM4-GCM with its parameters as
in RFC 5084; the standard itself speaks of block modes only, so a peer must know GCM.

Cites: GB/T 35275-2017 (structures and OIDs), GB/T 35276-2017 (SM2 ciphertext and signature), RFC 5084,
3.2 (parameters of GCM), GM/T 0006-2012 (OIDs). Confidence: OIDs high; use of GCM in it a product choice.
"""

from typing import Annotated

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from pingyao.platform.crypto.ports import NONCE_BYTES, TAG_BYTES

_MESSAGE = "1.2.156.10197.6.1.4.2"
DATA = ObjectIdentifier(f"{_MESSAGE}.1")
SIGNED = ObjectIdentifier(f"{_MESSAGE}.2")
ENVELOPED = ObjectIdentifier(f"{_MESSAGE}.3")
SM4_GCM = ObjectIdentifier("1.2.156.10197.1.104.8")
SM2_SIGN = ObjectIdentifier("1.2.156.10197.1.301.1")
SM2_ENCRYPT = ObjectIdentifier("1.2.156.10197.1.301.3")
SM3 = ObjectIdentifier("1.2.156.10197.1.401")
_COMMON_NAME = ObjectIdentifier("2.5.4.3")


@asn1.sequence
class Named:
    """An algorithm without parameters."""

    algorithm: ObjectIdentifier
    parameters: asn1.Null | None = None


@asn1.sequence
class Gcm:
    """Parameters of GCM."""

    nonce: bytes
    tag_bytes: int


@asn1.sequence
class GcmNamed:
    """The content cipher."""

    algorithm: ObjectIdentifier
    parameters: Gcm


@asn1.sequence
class Attribute:
    """One attribute of a name."""

    type: ObjectIdentifier
    value: str


@asn1.sequence
class Holder:
    """IssuerAndSerialNumber: whose key, and which."""

    issuer: list[asn1.SetOf[Attribute]]
    serial: int


@asn1.sequence
class Recipient:
    """RecipientInfo: the session key for one key of a recipient."""

    version: int
    holder: Holder
    algorithm: Named
    encrypted_key: bytes


@asn1.sequence
class Sealed:
    """EncryptedContentInfo; the tag follows the ciphertext."""

    type: ObjectIdentifier
    algorithm: GcmNamed
    content: Annotated[bytes, asn1.Implicit(0)]


@asn1.sequence
class Enveloped:
    """EnvelopedData."""

    version: int
    recipients: asn1.SetOf[Recipient]
    sealed: Sealed


@asn1.sequence
class Signer:
    """SignerInfo without attributes: the signature is over the content itself."""

    version: int
    holder: Holder
    digest: Named
    algorithm: Named
    signature: bytes


@asn1.sequence
class Content:
    """ContentInfo that holds data."""

    type: ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class Signed:
    """SignedData without certificates."""

    version: int
    digests: asn1.SetOf[Named]
    content: Content
    signers: asn1.SetOf[Signer]


@asn1.sequence
class EnvelopedMessage:
    """ContentInfo that holds an envelope."""

    type: ObjectIdentifier
    content: Annotated[Enveloped, asn1.Explicit(0)]


@asn1.sequence
class SignedMessage:
    """ContentInfo that holds signed data."""

    type: ObjectIdentifier
    content: Annotated[Signed, asn1.Explicit(0)]


def holder(institution: str, key: str) -> Holder:
    """Names a key of an institution."""
    name = asn1.SetOf([Attribute(type=_COMMON_NAME, value=institution)])
    return Holder(issuer=[name], serial=int(key, 16))


def key_of(named: Holder) -> str:
    """Returns the name of the key."""
    return f"{named.serial:032x}"


def enveloped(to: Holder, encrypted_key: bytes, nonce: bytes, content: bytes) -> bytes:
    """Returns an envelope for one recipient."""
    recipient = Recipient(
        version=1, holder=to, algorithm=_named(SM2_ENCRYPT), encrypted_key=encrypted_key
    )
    cipher = GcmNamed(algorithm=SM4_GCM, parameters=Gcm(nonce=nonce, tag_bytes=TAG_BYTES))
    sealed = Sealed(type=DATA, algorithm=cipher, content=content)
    body = Enveloped(version=1, recipients=asn1.SetOf([recipient]), sealed=sealed)
    return asn1.encode_der(EnvelopedMessage(type=ENVELOPED, content=body))


def read_enveloped(message: bytes) -> tuple[Recipient, bytes, bytes]:
    """Returns recipient, nonce and ciphertext of an envelope.

    Raises:
        ValueError: it is none of ours.
    """
    read = asn1.decode_der(EnvelopedMessage, message)
    body = read.content
    recipients, cipher = body.recipients.as_list(), body.sealed.algorithm
    fine = (
        (read.type, body.version, body.sealed.type) == (ENVELOPED, 1, DATA)
        and len(recipients) == 1
        and (recipients[0].version, recipients[0].algorithm.algorithm) == (1, SM2_ENCRYPT)
        and (cipher.algorithm, cipher.parameters.tag_bytes) == (SM4_GCM, TAG_BYTES)
        and len(cipher.parameters.nonce) == NONCE_BYTES
        and recipients[0].holder.serial >= 0
    )
    if not fine:
        raise ValueError("not an envelope of this kind")
    return recipients[0], cipher.parameters.nonce, body.sealed.content


def signed(by: Holder, content: bytes, signature: bytes) -> bytes:
    """Returns content with one signature over it."""
    sm3 = _named(SM3)
    signer = Signer(
        version=1, holder=by, digest=sm3, algorithm=_named(SM2_SIGN), signature=signature
    )
    body = Signed(
        version=1,
        digests=asn1.SetOf([sm3]),
        content=Content(type=DATA, content=content),
        signers=asn1.SetOf([signer]),
    )
    return asn1.encode_der(SignedMessage(type=SIGNED, content=body))


def read_signed(message: bytes) -> tuple[Signer, bytes]:
    """Returns signer and content of signed data; whether the signature holds is for others to check.

    Raises:
        ValueError: it is none of ours.
    """
    read = asn1.decode_der(SignedMessage, message)
    body, signers = read.content, read.content.signers.as_list()
    fine = (
        (read.type, body.version, body.content.type) == (SIGNED, 1, DATA)
        and len(signers) == 1
        and signers[0].version == 1
        and (signers[0].digest.algorithm, signers[0].algorithm.algorithm) == (SM3, SM2_SIGN)
        and signers[0].holder.serial >= 0
    )
    if not fine:
        raise ValueError("not signed data of this kind")
    return signers[0], body.content.content


def _named(algorithm: ObjectIdentifier) -> Named:
    return Named(algorithm=algorithm, parameters=asn1.Null())
