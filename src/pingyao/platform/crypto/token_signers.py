"""Signing keys in a device behind PKCS#11: made there, used there, never given away.

Ed25519 has a mechanism in PKCS#11; SM2 and ML-DSA-44 have none in the version the adapter speaks. Vendors
give theirs, which are not known here.

Cites: OASIS PKCS#11 v3.0, 2.3.14 (EdDSA); RFC 8410, 3 (the name of the curve).
"""

import threading
from typing import Any

from pingyao.kernel.errors import Unsupported
from pingyao.platform.crypto.hsm import Hsm, explained
from pingyao.platform.crypto.signers import LENGTHS, Algorithm, Signer

# id-Ed25519, in DER.
_ED25519 = bytes.fromhex("06032b6570")
_VERSION_BYTES = 4


class TokenSigner:
    """A key of a device; one call at a time, because a session takes no more."""

    algorithm = Algorithm.ED25519

    def __init__(self, private: Any, public_key: bytes, turn: threading.Lock) -> None:
        self._private, self.public_key, self._turn = private, public_key, turn

    def sign(self, message: bytes, /) -> bytes:
        """Has the device sign a message.

        Raises:
            Unavailable: the device does not answer.
        """
        from pkcs11 import Mechanism

        with self._turn, explained():
            return bytes(self._private.sign(message, mechanism=Mechanism.EDDSA))


def signers(hsm: Hsm, name: str, algorithm: Algorithm) -> list[Signer]:
    """Returns the versions of a signing key that the device holds, the oldest first."""
    if algorithm != Algorithm.ED25519:
        return []
    turn = threading.Lock()
    with explained():
        public, private = _held(hsm, name)
        return [
            TokenSigner(private[id_], public[id_], turn) for id_ in sorted(public) if id_ in private
        ]


def create_signer(hsm: Hsm, name: str, algorithm: Algorithm) -> Signer:
    """Has the device make a signing key, or the next version of one.

    Raises:
        Unsupported: it knows no such keys.
    """
    from pkcs11 import Attribute, KeyType, Mechanism
    from pkcs11.exceptions import DomainParamsInvalid, MechanismInvalid

    if algorithm != Algorithm.ED25519:
        raise _unsupported(algorithm)
    with explained():
        public, private = _held(hsm, name)
        latest = max((int.from_bytes(i, "big") for i in (*public, *private)), default=0)
        kind = hsm.session.create_domain_parameters(
            KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: _ED25519}, local=True
        )
        try:
            kind.generate_keypair(
                mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
                label=name,
                id=(latest + 1).to_bytes(_VERSION_BYTES, "big"),
                store=True,
                private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
            )
        except (MechanismInvalid, DomainParamsInvalid):
            raise _unsupported(algorithm) from None
    return signers(hsm, name, algorithm)[-1]


def _held(hsm: Hsm, name: str) -> tuple[dict[bytes, bytes], dict[bytes, Any]]:
    from pkcs11 import Attribute, KeyType, ObjectClass

    wanted = {Attribute.LABEL: name, Attribute.KEY_TYPE: KeyType.EC_EDWARDS}
    publics = hsm.session.get_objects({**wanted, Attribute.CLASS: ObjectClass.PUBLIC_KEY})
    privates = hsm.session.get_objects({**wanted, Attribute.CLASS: ObjectClass.PRIVATE_KEY})
    length = LENGTHS[Algorithm.ED25519].public
    # The point is an OCTET STRING; some devices give it bare.
    points = {bytes(k.id): bytes(k[Attribute.EC_POINT])[-length:] for k in publics}
    return points, {bytes(k.id): k for k in privates}


def _unsupported(algorithm: Algorithm) -> Unsupported:
    return Unsupported(
        "keys.device_algorithm",
        f"设备不能经 PKCS#11 以 {algorithm} 签名",
        "设备中目前可用 ed25519；其他算法的密钥请存于密钥库，与它并用",
    )
