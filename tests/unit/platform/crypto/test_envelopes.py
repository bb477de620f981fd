"""Envelopes and signed messages in both suites, the national ones against OpenSSL and gmssl too."""

import base64
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat import asn1
from gmssl import sm2 as gm

from pingyao.kernel.errors import IntegrityBroken, Unsupported
from pingyao.platform.crypto import choose, cms, envelopes, keys, sm2
from pingyao.platform.crypto.envelopes import PublicKey
from pingyao.platform.crypto.signers import open_signer
from pingyao.platform.crypto.suites import SUITES, key_id, public_half, suite_of

USCC = "91140000MA0AAAAA1K"
_NAMED = "301306072a8648ce3d020106082a811ccf5501822d"


def pair(kind: str) -> tuple[bytes, PublicKey]:
    secret = keys.generate(kind)
    public = public_half(kind, secret)
    return secret, PublicKey(USCC, key_id(kind, public), kind, public)


def pem(kind: str, der: str) -> str:
    body = base64.encodebytes(bytes.fromhex(der)).decode()
    return f"-----BEGIN {kind}-----\n{body}-----END {kind}-----\n"


def files(folder: Path, secret: bytes, public: bytes) -> None:
    private = "3041020100" + _NAMED + "042730250201010420" + secret.hex()
    (folder / "key.pem").write_text(pem("PRIVATE KEY", private))
    (folder / "pub.pem").write_text(pem("PUBLIC KEY", "3059" + _NAMED + "034200" + public.hex()))


def openssl(folder: Path, *words: str) -> bytes:
    command = [shutil.which("openssl") or "openssl", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
class TestEitherSuite:
    def test_what_is_sealed_opens_for_this_key_alone(self, suite) -> None:
        secret, public = pair(suite.sealing)
        for size in (0, 20, 100_000):
            payload = secrets.token_bytes(size)
            sealed = envelopes.seal(suite, public, payload, b"about")
            assert envelopes.recipient_of(suite, sealed) == public.id
            assert envelopes.open_sealed(suite, secret, sealed, b"about") == payload
            assert payload not in sealed or not payload
            for wrong, context in (
                (pair(suite.sealing)[0], b"about"),
                (secret, b""),
                (secret, b"x"),
            ):
                with pytest.raises(IntegrityBroken):
                    envelopes.open_sealed(suite, wrong, sealed, context)

    def test_no_byte_of_an_envelope_may_change(self, suite) -> None:
        secret, public = pair(suite.sealing)
        sealed = envelopes.seal(suite, public, b"payload")
        for at in range(len(sealed)):
            changed = bytearray(sealed)
            changed[at] ^= 1
            try:
                opened = envelopes.open_sealed(suite, secret, bytes(changed))
            except IntegrityBroken:
                continue
            # In the national structure the recipient's name is outside what is authenticated: whoever
            # changes it only makes the recipient look for another key.
            assert opened == b"payload"
            assert suite.name == "national"
            named = asn1.encode_der(cms.holder(USCC, public.id))
            assert sealed.index(named) <= at < sealed.index(named) + len(named)

    def test_what_is_cut_or_foreign_is_refused(self, suite) -> None:
        secret, public = pair(suite.sealing)
        sealed = envelopes.seal(suite, public, b"payload")
        other = next(s for s in SUITES.values() if s is not suite)
        foreign = envelopes.seal(other, pair(other.sealing)[1], b"payload")
        for broken in (*(sealed[:n] for n in range(0, len(sealed), 7)), sealed + b"\0", foreign):
            with pytest.raises(IntegrityBroken):
                envelopes.open_sealed(suite, secret, broken)

    def test_signed_messages(self, suite) -> None:
        secret, public = pair(suite.signature.value)
        signer = open_signer(suite.signature, secret)
        message = envelopes.sign(suite, USCC, public.id, signer, b"what is said")
        assert envelopes.signer_of(suite, message) == public.id
        assert envelopes.open_signed(suite, public, message) == b"what is said"
        with pytest.raises(IntegrityBroken):
            envelopes.open_signed(suite, pair(suite.signature.value)[1], message)
        at = message.index(b"what is said")
        with pytest.raises(IntegrityBroken):
            envelopes.open_signed(
                suite, public, message[:at] + b"w" + b"HAT is said" + message[at + 12 :]
            )
        with pytest.raises(IntegrityBroken):
            envelopes.open_signed(suite, public, message[:20])


def test_there_is_no_third_suite() -> None:
    with pytest.raises(Unsupported):
        suite_of("none")


def test_openssl_opens_our_session_key_and_we_open_its(tmp_path: Path) -> None:
    secret, public = pair("sm2")
    files(tmp_path, secret, public.public)
    sealed = envelopes.seal(SUITES["national"], public, b"for the supervisor")
    recipient, nonce, content = cms.read_enveloped(sealed)
    (tmp_path / "in").write_bytes(recipient.encrypted_key)
    session = openssl(tmp_path, "pkeyutl", "-decrypt", "-inkey", "key.pem", "-in", "in")
    assert choose.unseal("sm4-gcm", session, nonce, content) == b"for the supervisor"
    (tmp_path / "in").write_bytes(session)
    theirs = openssl(tmp_path, "pkeyutl", "-encrypt", "-pubin", "-inkey", "pub.pem", "-in", "in")
    built = cms.enveloped(cms.holder(USCC, public.id), theirs, nonce, content)
    assert envelopes.open_sealed(SUITES["national"], secret, built) == b"for the supervisor"
    with pytest.raises(ValueError, match="not for this key"):
        sm2.Sm2PrivateKey(secret).decrypt(theirs[:-1] + bytes([theirs[-1] ^ 1]))


def test_openssl_reads_the_structure(tmp_path: Path) -> None:
    _, public = pair("sm2")
    (tmp_path / "in").write_bytes(envelopes.seal(SUITES["national"], public, b"x"))
    shown = openssl(tmp_path, "asn1parse", "-inform", "DER", "-in", "in").decode()
    for part in ("1.2.156.10197.6.1.4.2.3", f":{USCC}", public.id.upper().lstrip("0")):
        assert part in shown


def test_openssl_verifies_our_signed_data(tmp_path: Path) -> None:
    secret, public = pair("sm2")
    files(tmp_path, secret, public.public)
    signer = open_signer(SUITES["national"].signature, secret)
    message = envelopes.sign(SUITES["national"], USCC, public.id, signer, b"evidence")
    found, payload = cms.read_signed(message)
    (tmp_path / "sig").write_bytes(found.signature)
    (tmp_path / "in").write_bytes(payload)
    check = ("pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-in", "in", "-rawin")
    options = ("-digest", "sm3", "-pkeyopt", "distid:1234567812345678", "-sigfile", "sig")
    assert b"Verified Successfully" in openssl(tmp_path, *check, *options)
    sign = ("pkeyutl", "-sign", "-inkey", "key.pem", "-in", "in", "-rawin", *options[:-2])
    theirs = cms.signed(cms.holder(USCC, public.id), payload, openssl(tmp_path, *sign))
    assert envelopes.open_signed(SUITES["national"], public, theirs) == b"evidence"


def test_gmssl_agrees_on_sm2_encryption_both_ways() -> None:
    """Its ciphertext is C1 C3 C2 as bare octets, ours the DER of GB/T 35276 around the same parts."""
    secret, public = pair("sm2")
    other = gm.CryptSM2(secret.hex(), public.public[1:].hex(), mode=1)

    @asn1.sequence
    class Cipher:
        x: int
        y: int
        hash: bytes
        cipher: bytes

    ours = asn1.decode_der(Cipher, sm2.Sm2PublicKey(public.public).encrypt(b"0123456789abcdef"))
    bare = ours.x.to_bytes(32) + ours.y.to_bytes(32) + ours.hash + ours.cipher
    assert other.decrypt(bare) == b"0123456789abcdef"
    theirs = other.encrypt(b"fedcba9876543210")
    x, y = int.from_bytes(theirs[:32]), int.from_bytes(theirs[32:64])
    der = asn1.encode_der(Cipher(x=x, y=y, hash=theirs[64:96], cipher=theirs[96:]))
    assert sm2.Sm2PrivateKey(secret).decrypt(der) == b"fedcba9876543210"
