"""Signed notes, checkpoints and cosignatures: the specifications' own examples, and what must be refused."""

import pytest

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.ledger.formats import note as notes
from pingyao.ledger.formats.checkpoint import format_checkpoint, parse_checkpoint
from pingyao.ledger.formats.signature import subtree_message
from pingyao.ledger.model import (
    ED25519,
    ML_DSA_44_COSIGNATURE,
    SIGNATURE_TYPES,
    Checkpoint,
    Note,
    SignatureLine,
    SignatureType,
)
from pingyao.ledger.rules.tree import EMPTY_ROOT
from pingyao.platform.crypto.signers import generate, open_signer

# C2SP signed-note v1.0.0, Verifier keys, Example.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""
# C2SP tlog-checkpoint v1.0.0 and tlog-cosignature; their keys are not published.
BEHIND = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""
TEXT = format_checkpoint(Checkpoint("example.com/log", 7, bytes(range(32))))


def test_the_example_of_the_specification() -> None:
    key = notes.parse_vkey(VKEY)
    assert notes.format_vkey(key) == VKEY
    note = notes.parse_note(EXAMPLE.encode())
    assert notes.format_note(note) == EXAMPLE
    (signed,) = notes.verify_note(note, [key])
    assert signed.key == key
    assert signed.at is None


def test_the_example_checkpoint() -> None:
    note = notes.parse_note(BEHIND)
    head = parse_checkpoint(note.text)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20852163)
    assert format_checkpoint(head) == note.text
    assert int.from_bytes(note.signatures[1].blob[:8]) == 1679315147


@pytest.mark.parametrize("kind", SIGNATURE_TYPES)
def test_every_kind_signs_and_no_change_passes(kind: SignatureType) -> None:
    signer = open_signer(kind.algorithm, generate(kind.algorithm))
    at = 1_700_000_000 if kind.timestamped else None
    key = notes.verifier_key("example.com/w", kind, signer.public_key)
    assert notes.parse_vkey(notes.format_vkey(key)) == key
    line = notes.sign(TEXT, "example.com/w", kind, signer, at)
    text = notes.format_note(Note(TEXT, (line,)))
    (signed,) = notes.verify_note(notes.parse_note(text), [key])
    assert signed.at == at

    other = format_checkpoint(Checkpoint("example.com/log", 8, bytes(range(32))))
    renamed = notes.verifier_key("example.com/v", kind, signer.public_key)
    flipped = line.blob[:-1] + bytes([line.blob[-1] ^ 1])
    wrong = [
        (Note(other, (line,)), key),
        (Note(TEXT, (SignatureLine(line.name, line.key_id, line.blob[:-1]),)), key),
        (Note(TEXT, (SignatureLine(line.name, line.key_id, line.blob + b"\0"),)), key),
        (Note(TEXT, (SignatureLine(line.name, line.key_id, flipped),)), key),
        (Note(TEXT, (line,)), renamed),
    ]
    if at is not None:
        later = (at + 1).to_bytes(8) + line.blob[8:]
        endless = b"\xff" * 8 + line.blob[8:]
        wrong += [
            (Note(TEXT, (SignatureLine(line.name, line.key_id, b),)), key)
            for b in (later, endless, line.blob[:8])
        ]
    for note, trusted in wrong:
        with pytest.raises(IntegrityBroken):
            notes.verify_note(note, [trusted])


def test_a_key_of_one_kind_is_no_key_of_another() -> None:
    signer = open_signer(ED25519.algorithm, generate(ED25519.algorithm))
    line = notes.sign(TEXT, "example.com/log", ED25519, signer)
    for kind in SIGNATURE_TYPES:
        if kind.algorithm is ED25519.algorithm and kind is not ED25519:
            key = notes.verifier_key("example.com/log", kind, signer.public_key)
            with pytest.raises(IntegrityBroken):
                notes.verify_note(Note(TEXT, (line,)), [key])


def test_ml_dsa_signs_the_head_and_not_the_extensions() -> None:
    signer = open_signer(ML_DSA_44_COSIGNATURE.algorithm, bytes(32))
    key = notes.verifier_key("w", ML_DSA_44_COSIGNATURE, signer.public_key)
    line = notes.sign(TEXT, "w", ML_DSA_44_COSIGNATURE, signer, 1)
    notes.verify_note(Note(TEXT + "more\n", (line,)), [key])
    with pytest.raises(IntegrityBroken):
        notes.verify_note(Note("no checkpoint\n", (line,)), [key])
    assert subtree_message("w", "log", 2, 4, bytes(32), 0) == (
        b"subtree/v1\n\0\x01w" + bytes(8) + b"\x03log" + b"\0" * 7 + b"\x02" + b"\0" * 7 + b"\x04"
    ) + bytes(32)
    for name, origin in (("w" * 256, "log"), ("w", "l" * 256), ("w", "")):
        with pytest.raises(IntegrityBroken):
            subtree_message(name, origin, 0, 1, bytes(32), 0)


def test_unknown_signatures_are_passed_over_and_bad_known_ones_are_not() -> None:
    note = notes.parse_note(EXAMPLE)
    key = notes.parse_vkey(VKEY)
    strangers = tuple(SignatureLine(f"s{i}", bytes(4), b"x" * 64) for i in range(16))
    same_name = SignatureLine(key.name, b"none", b"x" * 64)
    same_id = SignatureLine("other", key.key_id, b"x" * 64)
    crowd = Note(note.text, (*strangers, same_name, same_id, *note.signatures))
    assert len(notes.verify_note(notes.parse_note(notes.format_note(crowd)), [key])) == 1
    with pytest.raises(IntegrityBroken):
        notes.verify_note(Note(note.text, strangers), [key])
    bad = SignatureLine(key.name, key.key_id, b"x" * 64)
    second = open_signer(ED25519.algorithm, generate(ED25519.algorithm))
    good = notes.sign(note.text, "second", ED25519, second)
    with pytest.raises(IntegrityBroken):
        notes.verify_note(
            Note(note.text, (good, bad)),
            [key, notes.verifier_key("second", ED25519, second.public_key)],
        )


def test_a_text_may_hold_empty_lines() -> None:
    signer = open_signer(ED25519.algorithm, generate(ED25519.algorithm))
    text = "一\n\n二\n"
    note = Note(text, (notes.sign(text, "n", ED25519, signer),))
    assert notes.parse_note(notes.format_note(note)) == note


_LINE = EXAMPLE.split("\n")[2]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\n",
        b"text\n",
        b"text\n\n",
        b"text\n" + _LINE.encode() + b"\n",
        b"text\n\n" + _LINE.encode(),
        b"text\n\n\n" + _LINE.encode()[:-1] + b"\n",
        b"text\r\n\r\n" + _LINE.encode() + b"\r\n",
        b"te\0xt\n\n" + _LINE.encode() + b"\n",
        b"te\txt\n\n" + _LINE.encode() + b"\n",
        b"te\xffxt\n\n" + _LINE.encode() + b"\n",
        b"text\n\n" + _LINE.replace("— ", "- ").encode() + b"\n",
        b"text\n\n" + _LINE.replace("— ", "—").encode() + b"\n",
        b"text\n\n" + _LINE.replace("foo ", "foo  ").encode() + b"\n",
        b"text\n\n" + _LINE.replace("foo ", "f\u3000oo ").encode() + b"\n",
        b"text\n\n" + _LINE.replace("foo ", "f+oo ").encode() + b"\n",
        b"text\n\n" + _LINE.replace("example.com/foo ", "").encode() + b"\n",
        b"text\n\n" + _LINE.replace("=", "").encode() + b"\n",
        b"text\n\n" + _LINE.replace("aQM=", "aQN=").encode() + b"\n",
        b"text\n\n" + _LINE.replace("aQM=", "aQ-=").encode() + b"\n",
        b"text\n\n" + "— n AAAAAA==\n".encode(),
        b"text\n\n" + (_LINE + "\n").encode() * 101,
        b"text\n\n" + (_LINE + "\n").encode() + b"tail\n",
        b"x" * 1_000_001 + b"\n\n" + (_LINE + "\n").encode(),
    ],
)
def test_malformed_notes_are_refused(bad: bytes) -> None:
    with pytest.raises(IntegrityBroken):
        notes.parse_note(bad)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "name",
        "name+530d903a",
        VKEY[:-1],
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("530d903a", "530D903A"),
        VKEY.replace("foo", "fo o"),
        VKEY.replace("example.com/foo", ""),
        VKEY.replace("+A", "+B"),
        VKEY + "\n",
        "name+12345678+AwEB",
        "rekor.sigstore.dev+12345678+THIS_IS_NOT_BASE64!",
        "bananas.sigstore.dev+12344556",
    ],
)
def test_malformed_keys_are_refused(bad: str) -> None:
    with pytest.raises(Invalid):
        notes.parse_vkey(bad)


@pytest.mark.parametrize(
    "vkey",
    [
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
    ],
)
def test_keys_in_public_use_are_read(vkey: str) -> None:
    assert notes.format_vkey(notes.parse_vkey(vkey)) == vkey


ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "\n",
        f"o\n1\n{ROOT}",
        f"o\n1\n{ROOT}\n\n",
        f"o\n1\n{ROOT}\n\nextension\n",
        f"\n1\n{ROOT}\n",
        f"o\n01\n{ROOT}\n",
        f"o\n-1\n{ROOT}\n",
        f"o\n+1\n{ROOT}\n",
        f"o\n１\n{ROOT}\n",
        f"o\n{2**63}\n{ROOT}\n",
        f"o\n{'9' * 40}\n{ROOT}\n",
        f"o\n0\n{ROOT}\n",
        f"o\n1\n{ROOT[:-1]}\n",
        f"o\n1\n{ROOT[:-2]}J=\n",
        "o\n1\nAAAA\n",
        "o\n1\n",
    ],
)
def test_malformed_checkpoints_are_refused(bad: str) -> None:
    with pytest.raises(IntegrityBroken):
        parse_checkpoint(bad)


def test_the_head_of_nothing() -> None:
    head = Checkpoint("o", 0, EMPTY_ROOT)
    assert parse_checkpoint(format_checkpoint(head)) == head
