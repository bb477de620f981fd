"""One way to sign and to verify, with Ed25519, ML-DSA-44 or SM2; keys are given as bytes.

A software key is not a certified cryptographic module: where one is required, a hardware key stands
behind the same port.
"""

from enum import StrEnum
from typing import NamedTuple, Protocol

from pingyao.kernel.errors import IntegrityBroken, Invalid


class Algorithm(StrEnum):
    """A signature algorithm.

    Cites: RFC 8032 (Ed25519), FIPS 204 (ML-DSA-44), GB/T 32918.2 (SM2 with SM3).
    """

    ED25519 = "ed25519"
    ML_DSA_44 = "ml-dsa-44"
    SM2 = "sm2"


class Lengths(NamedTuple):
    """Bytes of a secret key, of a public key, and the most of a signature."""

    secret: int
    public: int
    signature: int


LENGTHS = {
    Algorithm.ED25519: Lengths(32, 32, 64),
    Algorithm.ML_DSA_44: Lengths(32, 1312, 2420),
    # A point uncompressed; a signature in DER.
    Algorithm.SM2: Lengths(32, 65, 72),
}


class Signer(Protocol):
    """A private key, wherever it lies."""

    @property
    def algorithm(self) -> Algorithm:
        """What it signs with."""
        ...

    @property
    def public_key(self) -> bytes:
        """The public key: raw for Ed25519 and ML-DSA-44, the uncompressed point for SM2."""
        ...

    def sign(self, message: bytes, /) -> bytes:
        """Signs a message: raw for Ed25519 and ML-DSA-44, DER of r and s for SM2."""
        ...


def generate(algorithm: Algorithm) -> bytes:
    """Returns a new secret key: the seed of Ed25519 and ML-DSA-44, the scalar of SM2."""
    match algorithm:
        case Algorithm.ED25519:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

            return Ed25519PrivateKey.generate().private_bytes_raw()
        case Algorithm.ML_DSA_44:
            from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

            return MLDSA44PrivateKey.generate().private_bytes_raw()
        case Algorithm.SM2:
            from pingyao.platform.crypto import sm2

            return sm2.generate()


def open_signer(algorithm: Algorithm, secret: bytes) -> Signer:
    """Returns the signer of a secret key.

    Raises:
        Invalid: the bytes are no such key.
    """
    if len(secret) != LENGTHS[algorithm].secret:
        raise Invalid("crypto.bad_key", f"{algorithm} 私钥长度不对", "请核对密钥文件与算法")
    match algorithm:
        case Algorithm.ED25519:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

            return _Raw(algorithm, Ed25519PrivateKey.from_private_bytes(secret))
        case Algorithm.ML_DSA_44:
            from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

            return _Raw(algorithm, MLDSA44PrivateKey.from_seed_bytes(secret))
        case Algorithm.SM2:
            from pingyao.platform.crypto import sm2

            return sm2.Sm2Signer(secret)


def verify(algorithm: Algorithm, public_key: bytes, message: bytes, signature: bytes) -> None:
    """Checks a signature.

    Raises:
        IntegrityBroken: it is not this key's signature of this message.
        Unsupported: nothing on this machine can check it.
    """
    from cryptography.exceptions import InvalidSignature

    lengths = LENGTHS[algorithm]
    if len(public_key) != lengths.public or len(signature) > lengths.signature:
        raise _refused(algorithm)
    try:
        match algorithm:
            case Algorithm.ED25519:
                from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

                Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
            case Algorithm.ML_DSA_44:
                from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

                MLDSA44PublicKey.from_public_bytes(public_key).verify(signature, message)
            case Algorithm.SM2:
                from pingyao.platform.crypto import sm2

                sm2.verify(public_key, message, signature)
    except (InvalidSignature, ValueError):
        raise _refused(algorithm) from None


def _refused(algorithm: Algorithm) -> IntegrityBroken:
    return IntegrityBroken(
        "crypto.bad_signature",
        f"{algorithm} 签名与内容、公钥不符",
        "内容、签名或公钥至少有一样被改动；请从原出处重新取得再验",
    )


class _Public(Protocol):
    def public_bytes_raw(self) -> bytes: ...


class _Private(Protocol):
    def public_key(self) -> _Public: ...

    def sign(self, data: bytes, /) -> bytes: ...


class _Raw:
    def __init__(self, algorithm: Algorithm, key: _Private) -> None:
        self.algorithm = algorithm
        self.public_key = key.public_key().public_bytes_raw()
        self.sign = key.sign
