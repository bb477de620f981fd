"""HTTP Message Signatures: the vectors of RFC 9421 and 9530, an implementation by others, and refusals."""

import base64
import re
from types import SimpleNamespace

import http_sf
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.platform.crypto.signers import Algorithm, open_signer, verify
from pingyao.platform.crypto.suites import SUITES
from pingyao.platform.members import signatures
from pingyao.platform.members.signatures import Parameters

# RFC 9421, B.1.4: test-key-ed25519.
SECRET = base64.urlsafe_b64decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU=")
PUBLIC = base64.urlsafe_b64decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs=")
B26 = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
VALUES = {
    "date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "@method": "POST",
    "@path": "/foo",
    "@authority": "example.com",
    "content-type": "application/json",
    "content-length": "18",
}
INTERNATIONAL = SUITES["international"]
URL = "https://Node.Example:443/member/v1/ping?a=1&b=%20"
ASKED = signatures.asked("POST", URL, signatures.content_digest(INTERNATIONAL, bytes(32)))
SAID = Parameters(1_800_000_000, 1_800_000_060, "n0nce", "ab" * 16, "ed25519", "pingyao-member-1:X")
TARGET = (ASKED.authority, ASKED.path, ASKED.query)


def b26() -> bytes:
    said = {"created": 1618884473, "keyid": "test-key-ed25519"}
    return signatures.base([(name, {}) for name in VALUES], said, VALUES)


def test_the_published_signature_of_b_2_6() -> None:
    signer = open_signer(Algorithm.ED25519, SECRET)
    assert signer.public_key == PUBLIC
    assert signer.sign(b26()) == base64.b64decode(B26)
    verify(Algorithm.ED25519, PUBLIC, b26(), base64.b64decode(B26))


@pytest.mark.parametrize("name", [*VALUES])
def test_b_2_6_with_one_value_changed(name: str) -> None:
    said = {"created": 1618884473, "keyid": "test-key-ed25519"}
    changed = VALUES | {name: VALUES[name] + "x"}
    text = signatures.base([(n, {}) for n in VALUES], said, changed)
    with pytest.raises(IntegrityBroken):
        verify(Algorithm.ED25519, PUBLIC, text, base64.b64decode(B26))


def test_digests_of_rfc_9530_and_of_gb_t_32905() -> None:
    made = signatures.hasher(INTERNATIONAL)
    made.update(b'{"hello": "world"}\n')
    field = signatures.content_digest(INTERNATIONAL, made.digest())
    assert field == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
    assert signatures.read_digest(field) == ("sha-256", made.digest())
    national = signatures.hasher(SUITES["national"])
    national.update(b"abc")
    assert national.hexdigest().startswith("66c7f0f462eeedd9d1f2d46bdc10e4e2")
    for bad in (
        "",
        "sha-256",
        "sha-256=1",
        "sha-256=:AA==:;x",
        "sha-256=:AA==:, sm3=:AA==:",
        "\x7f",
    ):
        with pytest.raises(Invalid):
            signatures.read_digest(bad)


def test_what_is_written_is_read_again() -> None:
    written = signatures.fields(SAID, b"\x01" * 64)
    given = [*written.items(), ("content-digest", ASKED.digest)]
    read, request = signatures.read_request(given, "POST", TARGET)
    assert request == ASKED
    assert (read.parameters, read.signature) == (SAID, b"\x01" * 64)
    assert read.base == signatures.request_base(ASKED, SAID)
    assert b'"@authority": node.example\n' in read.base
    assert b'"@query": ?a=1&b=%20\n' in read.base


class _Keys(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id: str) -> object:
        return Ed25519PrivateKey.from_private_bytes(SECRET).public_key()

    def resolve_private_key(self, key_id: str) -> object:
        return Ed25519PrivateKey.from_private_bytes(SECRET)


def message(headers: dict[str, str]) -> SimpleNamespace:
    from http_message_signatures.structures import CaseInsensitiveDict

    held = CaseInsensitiveDict(headers)
    return SimpleNamespace(method="POST", url=URL, headers=held)


def test_an_implementation_by_others_accepts_ours_and_we_accept_its() -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC).replace(microsecond=0)
    at = int(now.timestamp())
    said = Parameters(at, at + 60, "n0nce", "k", "ed25519", "t")
    signature = open_signer(Algorithm.ED25519, SECRET).sign(signatures.request_base(ASKED, said))
    ours = message({"Content-Digest": ASKED.digest, **signatures.fields(said, signature)})
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=_Keys())
    assert verifier.verify(ours)

    theirs = message({"Content-Digest": ASKED.digest})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=_Keys())
    signer.sign(
        theirs,
        key_id="k",
        created=now,
        expires=now + timedelta(seconds=60),
        nonce="n0nce",
        label="sig",
        tag="t",
        use_existing_digest=True,
        covered_component_ids=("@method", "@authority", "@path", "@query", "content-digest"),
    )
    given = http_sf.parse(theirs.headers["Signature-Input"].encode(), tltype="dictionary")
    covered, their_order = given["sig"]
    text = signatures.base(covered, their_order, ASKED.values())
    found = http_sf.parse(theirs.headers["Signature"].encode(), tltype="dictionary")["sig"][0]
    verify(Algorithm.ED25519, PUBLIC, text, found)


GOOD = signatures.fields(SAID, b"\x01" * 64)
_INPUT, _SIGNATURE = GOOD["signature-input"], GOOD["signature"]
_DIGEST = ("content-digest", ASKED.digest)
REFUSED = {
    "none": [_DIGEST],
    "no digest": [*GOOD.items()],
    "digest twice": [*GOOD.items(), _DIGEST, _DIGEST],
    "no input": [("signature", _SIGNATURE), _DIGEST],
    "no signature": [("signature-input", _INPUT), _DIGEST],
    "input twice": [*GOOD.items(), ("signature-input", _INPUT), _DIGEST],
    "signature twice": [*GOOD.items(), ("signature", _SIGNATURE), _DIGEST],
    "a second signature": [
        ("signature-input", f"{_INPUT}, b{_INPUT[3:]}"),
        ("signature", f"{_SIGNATURE}, b{_SIGNATURE[3:]}"),
        _DIGEST,
    ],
    "the label twice": [
        ("signature-input", f"{_INPUT}, {_INPUT}"),
        ("signature", _SIGNATURE),
        _DIGEST,
    ],
    "another label": [
        ("signature-input", f"b{_INPUT[3:]}"),
        ("signature", f"b{_SIGNATURE[3:]}"),
        _DIGEST,
    ],
    "less covered": [
        ("signature-input", _INPUT.replace(' "content-digest"', "")),
        ("signature", _SIGNATURE),
        _DIGEST,
    ],
    "other order": [
        ("signature-input", _INPUT.replace('"@method" "@authority"', '"@authority" "@method"')),
        ("signature", _SIGNATURE),
        _DIGEST,
    ],
    "a component with a parameter": [
        ("signature-input", _INPUT.replace('"@path"', '"@path";req')),
        ("signature", _SIGNATURE),
        _DIGEST,
    ],
    "signature is no bytes": [("signature-input", _INPUT), ("signature", "sig=1"), _DIGEST],
    "input is no list": [("signature-input", "sig=1"), ("signature", _SIGNATURE), _DIGEST],
    "too long": [("signature-input", _INPUT), ("signature", "sig=:" + "A" * 8000 + ":"), _DIGEST],
    "not ascii": [("signature-input", _INPUT + "\xe9"), ("signature", _SIGNATURE), _DIGEST],
    **{
        f"without {name}": [
            ("signature-input", re.sub(rf';{name}=("[^"]*"|\d+)', "", _INPUT)),
            ("signature", _SIGNATURE),
            _DIGEST,
        ]
        for name in Parameters.__struct_fields__
    },
    "one parameter more": [
        ("signature-input", _INPUT + ";x=1"),
        ("signature", _SIGNATURE),
        _DIGEST,
    ],
    "a time that is none": [
        ("signature-input", _INPUT.replace("created=1800000000", 'created="x"')),
        ("signature", _SIGNATURE),
        _DIGEST,
    ],
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_what_is_not_of_the_profile_is_refused(given: list[tuple[str, str]]) -> None:
    with pytest.raises(Invalid) as refused:
        signatures.read_request(given, "POST", TARGET)
    assert refused.value.code == "members.bad_signature_fields"


def test_a_response_is_bound_to_its_request() -> None:
    digest = signatures.content_digest(INTERNATIONAL, bytes(32))
    text = signatures.response_base(200, digest, ASKED, b"\x02" * 64, SAID)
    given = [
        *signatures.fields(SAID, b"\x03" * 64, response=True).items(),
        ("content-digest", digest),
    ]
    assert signatures.read_response(given, 200, ASKED, b"\x02" * 64).base == text
    assert signatures.read_response(given, 200, ASKED, b"\x04" * 64).base != text
    assert signatures.read_response(given, 201, ASKED, b"\x02" * 64).base != text
    assert b'"signature";req;key="sig": :' in text
    assert b'"@query";req: ?a=1' in text
    with pytest.raises(Invalid):
        signatures.read_request(given, "POST", TARGET)
