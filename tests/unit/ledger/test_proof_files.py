"""Proof files and trust policies: what the specifications show, and what must be refused."""

import base64
import hashlib

import msgspec
import pytest

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.ledger.formats import note as notes
from pingyao.ledger.formats.checkpoint import format_checkpoint
from pingyao.ledger.formats.tlog_policy import check_quorum, format_policy, parse_policy
from pingyao.ledger.formats.tlog_proof import format_proof, parse_proof, verify_proof
from pingyao.ledger.model import (
    ED25519,
    ED25519_COSIGNATURE,
    ML_DSA_44_COSIGNATURE,
    Checkpoint,
    Note,
    Policy,
    SignatureType,
    TlogProof,
    VerifierKey,
)
from pingyao.ledger.rules import tree
from pingyao.platform.crypto.signers import Algorithm, Signer, open_signer

H1, H2 = (hashlib.sha256(w).digest() for w in (b"hash1", b"hash2"))
B1, B2 = (base64.b64encode(h).decode() for h in (H1, H2))


@pytest.mark.parametrize(
    ("proof", "text"),
    [
        (
            TlogProof(5, (H1, H2), "test checkpoint\n"),
            f"c2sp.org/tlog-proof@v1\nindex 5\n{B1}\n{B2}\n\ntest checkpoint\n",
        ),
        (
            TlogProof(10, (H1,), "checkpoint data\n", b"extra information"),
            f"c2sp.org/tlog-proof@v1\nextra ZXh0cmEgaW5mb3JtYXRpb24=\nindex 10\n{B1}\n\ncheckpoint data\n",
        ),
        (TlogProof(0, (), "checkpoint\n"), "c2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n"),
    ],
)
def test_proof_files_are_written_and_read(proof: TlogProof, text: str) -> None:
    assert format_proof(proof) == text.encode()
    assert parse_proof(text.encode()) == proof


@pytest.mark.parametrize(
    "bad",
    [
        "wrong-header\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra !!notbase64!!\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\n\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex notanumber\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex -5\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 05\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex  5\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra AAAA\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra AAAA\nextra AAAA\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n!!notbase64!!\n\ncheckpoint\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{base64.b64encode(bytes(64)).decode()}\n\ncheckpoint\n",
        f"c2sp.org/tlog-proof@v1\r\nindex 0\r\n{B1}\r\n\r\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n" + "a" * 65 * 1024 + "\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n" + (B1 + "\n") * 64 + "\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n\n" + "x" * 2_000_000,
        "",
    ],
)
def test_malformed_proof_files_are_refused(bad: str) -> None:
    with pytest.raises(IntegrityBroken):
        parse_proof(bad.encode())


def _key(kind: SignatureType, name: str) -> tuple[Signer, VerifierKey]:
    # The same in every process: cases below name themselves by their keys.
    signer = open_signer(kind.algorithm, hashlib.sha256(name.encode()).digest())
    return signer, notes.verifier_key(name, kind, signer.public_key)


LOG, LOG_KEY = _key(ED25519, "example.com/log")
WITNESSES = [
    _key(kind, f"w{i}.example")
    for i, kind in enumerate(
        (ED25519_COSIGNATURE, ED25519_COSIGNATURE, ML_DSA_44_COSIGNATURE, ED25519_COSIGNATURE)
    )
]
LINES = [f"witness W{i} {notes.format_vkey(k)}" for i, (_, k) in enumerate(WITNESSES)]
POLICY = "\n".join(
    [
        "# a bank and its regulator",
        f" \tlog {notes.format_vkey(LOG_KEY)}  https://log.example/  ",
        "",
        *LINES,
        "group 银行 2 W0 W1 W2",
        "group both all 银行 W3",
        "quorum both",
        "",
    ]
)


def _proof(text: str, signed: list[int], at: int = 7) -> TlogProof:
    lines = [notes.sign(text, LOG_KEY.name, ED25519, LOG)]
    for i in signed:
        signer, key = WITNESSES[i]
        lines.append(notes.sign(text, key.name, key.type, signer, at))
    return TlogProof(1, (tree.leaf_hash(b"0"),), notes.format_note(Note(text, tuple(lines))))


def _text(root: bytes | None = None) -> str:
    leaves = tree.leaf_hashes((b"0", b"1"))
    return format_checkpoint(Checkpoint(LOG_KEY.name, 2, root or tree.perfect_root(leaves)))


def test_a_proof_holds_under_a_policy() -> None:
    policy = parse_policy(POLICY.encode())
    assert parse_policy(format_policy(policy)) == policy
    head, signed = verify_proof(_proof(_text(), [0, 2, 3]), tree.leaf_hash(b"1"), policy)
    assert head.size == 2
    assert [s.at for s in signed] == [None, 7, 7, 7]


@pytest.mark.parametrize("signed", [[], [0], [0, 1], [0, 1, 2], [3], [0, 3], [2, 3]])
def test_a_quorum_not_met_is_refused(signed: list[int]) -> None:
    policy = parse_policy(POLICY.encode())
    with pytest.raises(IntegrityBroken) as refused:
        verify_proof(_proof(_text(), signed), tree.leaf_hash(b"1"), policy)
    assert refused.value.code == "ledger.quorum.not_met"


def test_another_leaf_index_log_or_root_is_refused() -> None:
    policy = parse_policy(POLICY.encode())
    proof, leaf = _proof(_text(), [0, 1, 2, 3]), tree.leaf_hash(b"1")
    verify_proof(proof, leaf, policy)
    other = msgspec.structs.replace(LOG_KEY, name="example.com/other")
    for wrong, its_leaf, trust in [
        (proof, tree.leaf_hash(b"0"), policy),
        (msgspec.structs.replace(proof, index=0), leaf, policy),
        (msgspec.structs.replace(proof, index=2), leaf, policy),
        (msgspec.structs.replace(proof, path=()), leaf, policy),
        (msgspec.structs.replace(proof, path=proof.path * 2), leaf, policy),
        (_proof(_text(bytes(32)), [0, 1, 2, 3]), leaf, policy),
        (proof, leaf, msgspec.structs.replace(policy, logs=())),
        (proof, leaf, msgspec.structs.replace(policy, logs=(other,))),
    ]:
        with pytest.raises(IntegrityBroken):
            verify_proof(wrong, its_leaf, trust)


def test_witnesses_do_not_stand_in_for_the_log() -> None:
    proof = _proof(_text(), [0, 1, 2, 3])
    unsigned = "".join(
        line for line in proof.checkpoint.splitlines(keepends=True) if "— example" not in line
    )
    with pytest.raises(IntegrityBroken) as refused:
        verify_proof(
            msgspec.structs.replace(proof, checkpoint=unsigned),
            tree.leaf_hash(b"1"),
            parse_policy(POLICY.encode()),
        )
    assert refused.value.code == "ledger.checkpoint.unsigned"


def test_no_quorum_is_said_in_words() -> None:
    check_quorum(Policy((), {}, {}, "none"), set())
    assert parse_policy(b"quorum none") == Policy((), {}, {}, "none")


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"quorum none\nquorum none\n",
        b"quorum W0\n",
        b"quorum\n",
        b"quorum none none\n",
        b"qorum none\n",
        b"quorum none\r\n",
        b"quorum\x0bnone\n",
        b"quorum none\n\x7f\n",
        b"log nonsense\nquorum none\n",
        (LINES[0] + "\n" + LINES[0].replace("W0", "W1") + "\nquorum none\n").encode(),
        (LINES[0] + "\n" + LINES[1].replace("W1", "W0") + "\nquorum none\n").encode(),
        (LINES[0].replace("W0", "none") + "\nquorum none\n").encode(),
        (LINES[0].replace("witness W0", "log") + "\nquorum none\n").encode(),
        f"witness L {notes.format_vkey(LOG_KEY)}\nquorum none\n".encode(),
        f"log {notes.format_vkey(LOG_KEY)} u v\nquorum none\n".encode(),
        (f"log {notes.format_vkey(LOG_KEY)}\n" * 2 + "quorum none\n").encode(),
        (LINES[0] + "\ngroup g 2 W0\nquorum g\n").encode(),
        (LINES[0] + "\ngroup g 0 W0\nquorum g\n").encode(),
        (LINES[0] + "\ngroup g 01 W0\nquorum g\n").encode(),
        (LINES[0] + "\ngroup g some W0\nquorum g\n").encode(),
        (LINES[0] + "\ngroup g any\nquorum g\n").encode(),
        (LINES[0] + "\ngroup g any W0 W0\nquorum g\n").encode(),
        (LINES[0] + "\ngroup g any W0 none\nquorum g\n").encode(),
        (LINES[0] + "\ngroup g any g\nquorum g\n").encode(),
        (LINES[0] + "\ngroup g any h\ngroup h any W0\nquorum g\n").encode(),
        (LINES[0] + "\ngroup none any W0\nquorum none\n").encode(),
        (LINES[0] + "\ngroup W0 any W0\nquorum none\n").encode(),
        (LINES[0] + "\ngroup g any W0\ngroup h any W0\nquorum h\n").encode(),
        b"#" * 1_000_001,
    ],
)
def test_malformed_policies_are_refused(bad: bytes) -> None:
    with pytest.raises(Invalid):
        parse_policy(bad)


def test_many_of_everything_and_octets_of_any_kind() -> None:
    lines = []
    for i in range(33):
        _, key = _key(ED25519_COSIGNATURE, f"w{i}")
        lines += [f"witness \udcff{i} {notes.format_vkey(key)}", f"group g{i} any \udcff{i}"]
    for i in range(33):
        lines.append("log " + notes.format_vkey(_key(ED25519, f"l{i}")[1]))
    text = "\n".join([*lines, "quorum g32", ""]).encode("utf-8", "surrogateescape")
    policy = parse_policy(text)
    assert (len(policy.logs), len(policy.witnesses), len(policy.groups)) == (33, 33, 33)
    assert parse_policy(format_policy(policy)) == policy


def test_algorithms_of_logs() -> None:
    assert LOG.algorithm is Algorithm.ED25519
