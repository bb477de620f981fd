"""The SM3 tree and its SM2 signatures, checked with OpenSSL in both directions."""

import errno
import os
import random
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from pingyao.kernel.errors import IntegrityBroken, NotYet, Unavailable, Unsupported
from pingyao.ledger import national
from pingyao.ledger.formats.checkpoint import format_checkpoint, parse_checkpoint
from pingyao.ledger.formats.note import (
    format_note,
    key_id,
    parse_note,
    sign,
    verifier_key,
    verify_note,
)
from pingyao.ledger.formats.sm3_proof import (
    Sm3Proof,
    format_sm3_proof,
    parse_sm3_proof,
    read_head,
    verify_sm3_proof,
)
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.model import ED25519, SM2, Checkpoint, Note, Policy, SignatureLine
from pingyao.ledger.rules.tree import leaf_hash
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.reader import read_checkpoint
from pingyao.ledger.store.writer import Log, create_log
from pingyao.platform.crypto.signers import Algorithm, open_signer
from witnessed import LOG, LOG_KEY, ORIGIN, cosigner, key_of, tree

SIGNER = open_signer(Algorithm.SM2, bytes(range(1, 33)))
KEY = verifier_key(ORIGIN, SM2, SIGNER.public_key)
POLICY = Policy((LOG_KEY, KEY), {}, {}, "none")
ENTRIES = tree(11).entries
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")
SM2_OPTIONS = ["-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678"]


def openssl(*words: object) -> bytes:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, timeout=60)  # noqa: S607 - found by PATH, as a person would
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def log(tmp_path: Path):
    folder = tmp_path / "log"
    create_log(folder, format_policy(POLICY))
    with Log(folder, [(ED25519, LOG), (SM2, SIGNER)], mark=tmp_path / "mark") as opened:
        yield opened


def openssl_root(folder: Path, entries: list[bytes]) -> bytes:
    """RFC 6962, 2.1 as it is written, with OpenSSL for the hash."""

    def sm3(data: bytes) -> bytes:
        (folder / "data").write_bytes(data)
        return openssl("dgst", "-sm3", "-binary", folder / "data")

    if len(entries) == 1:
        return sm3(b"\0" + entries[0])
    k = 1 << ((len(entries) - 1).bit_length() - 1)
    left, right = openssl_root(folder, entries[:k]), openssl_root(folder, entries[k:])
    return sm3(b"\1" + left + right)


def test_root_and_signature_are_what_openssl_says(log: Log, tmp_path: Path) -> None:
    log.append(ENTRIES)
    index = national.append_head(log, SIGNER)
    (entry,) = log.entries(index, 1)
    text = read_head(entry)
    assert text is not None
    note = parse_note(text)
    assert parse_checkpoint(note.text).root == openssl_root(tmp_path, ENTRIES)
    (line,) = note.signatures
    (tmp_path / "pub.der").write_bytes(SPKI + SIGNER.public_key)
    openssl(
        "pkey", "-pubin", "-inform", "DER", "-in", tmp_path / "pub.der", "-out", tmp_path / "pub"
    )
    (tmp_path / "text").write_text(note.text)
    (tmp_path / "sig").write_bytes(line.blob)
    words = ["pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "pub", "-in", tmp_path / "text"]
    openssl(*words, "-sigfile", tmp_path / "sig", *SM2_OPTIONS)


def test_what_openssl_signed_is_accepted_and_its_neighbour_is_not(tmp_path: Path) -> None:
    openssl("genpkey", "-algorithm", "SM2", "-out", tmp_path / "key")
    der = openssl("pkey", "-in", tmp_path / "key", "-pubout", "-outform", "DER")
    public = der[-65:]
    text = format_checkpoint(Checkpoint(ORIGIN, 11, bytes(range(32))))
    (tmp_path / "text").write_text(text)
    words = ["pkeyutl", "-sign", "-inkey", tmp_path / "key", "-in", tmp_path / "text"]
    blob = openssl(*words, *SM2_OPTIONS)
    line = SignatureLine(ORIGIN, key_id(ORIGIN, SM2, public), blob)
    verify_note(Note(text, (line,)), [verifier_key(ORIGIN, SM2, public)])
    with pytest.raises(IntegrityBroken):
        verify_note(Note(text.replace("11", "12"), (line,)), [verifier_key(ORIGIN, SM2, public)])


def test_heads_are_taken_up_where_they_were_left(log: Log) -> None:
    for first in range(0, 11, 3):
        log.append(ENTRIES[first : first + 3])
        national.append_head(log, SIGNER)
    assert national.check_heads(log, log.size, POLICY) == 4
    (log.folder / "sm3" / "head").write_bytes(b"{}")
    national.append_head(log, SIGNER)
    assert national.check_heads(log, log.size, POLICY) == 5
    log.publish(log.sign()[1])
    assert not fsck(log.folder).findings


def grown(log: Log, upto: int = 700) -> None:
    log.append(ENTRIES)
    national.append_head(log, SIGNER)
    log.append([b"%d more" % i for i in range(upto - log.size)])


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["level-0", "level-1", "head"])
def test_damaged_files_never_lead_to_a_wrong_head(log: Log, name: str) -> None:
    grown(log)
    national.append_head(log, SIGNER)
    path, draw = log.folder / "sm3" / name, random.Random(2)
    for _ in range(12):
        flip(path, draw.randrange(path.stat().st_size))
        assert fsck(log.folder).findings
        log.append([b"%d after" % log.size])
        national.append_head(log, SIGNER)
        assert national.check_heads(log, log.size, POLICY) > 2
        shutil.rmtree(path.parent)
        national.append_head(log, SIGNER)
        assert not fsck(log.folder).findings


@pytest.mark.parametrize("left", [b"", b"0 0\n", b"11 12\n", b"999999999999999999 1\n", b"\xff\n"])
def test_a_mark_that_leads_nowhere_is_not_followed(log: Log, left: bytes) -> None:
    grown(log)
    (log.folder / "sm3" / "head").write_bytes(left)
    national.append_head(log, SIGNER)
    assert national.check_heads(log, log.size, POLICY) == 2
    for level in range(6):
        (log.folder / "sm3" / f"level-{level}").write_bytes(b"")
    national.append_head(log, SIGNER)
    assert national.check_heads(log, log.size, POLICY) == 3


def test_altered_entries_are_not_signed(log: Log) -> None:
    grown(log, 600)
    whole = (log.folder / "entries").read_bytes()
    at = whole.index(b"300 more")
    (log.folder / "entries").write_bytes(whole[:at] + b"9" + whole[at + 1 :])
    size = log.size
    with pytest.raises(IntegrityBroken):
        national.append_head(log, SIGNER)
    # Not even when the leaf was made to fit: what was signed over it does not.
    leaves = bytearray((log.folder / "hashes" / "level-0").read_bytes())
    (altered,) = log.entries(whole[:at].count(b" more") + len(ENTRIES) + 1, 1)
    assert altered == b"900 more"
    place = leaves.index(leaf_hash(b"300 more"))
    leaves[place : place + 32] = leaf_hash(altered)
    (log.folder / "hashes" / "level-0").write_bytes(leaves)
    with pytest.raises(IntegrityBroken):
        national.append_head(log, SIGNER)
    assert log.size == size


def test_a_full_disk_signs_nothing_and_goes_on(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(log)
    size = log.size
    with monkeypatch.context() as patch:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "full")

        patch.setattr(os, "pwrite", full)
        with pytest.raises(Unavailable):
            national.append_head(log, SIGNER)
    assert log.size == size
    national.append_head(log, SIGNER)
    assert national.check_heads(log, log.size, POLICY) == 2


def proved(log: Log, index: int) -> Sm3Proof:
    published = read_checkpoint(log.folder, POLICY)
    assert published is not None
    return national.prove(log, index, published, POLICY, b"extra")


def published(log: Log) -> None:
    log.publish(log.sign()[1])


def test_entries_are_proved_in_the_sm3_tree(log: Log, tmp_path: Path) -> None:
    grown(log, 600)
    at = national.append_head(log, SIGNER)
    published(log)
    for index in (0, 1, 10, 11, 255, 256, 511, 599):
        (entry,) = log.entries(index, 1)
        text = format_sm3_proof(proved(log, index))
        again = parse_sm3_proof(text)
        assert format_sm3_proof(again) == text
        head, checkpoint, signed = verify_sm3_proof(again, entry, POLICY)
        assert (head.size, checkpoint.size, again.bound.index) == (600, 601, at)
        assert {s.key for s in signed} == {KEY, LOG_KEY}
    for index in (-1, 600, 601, 5000):  # the head's own entry comes after it
        with pytest.raises(NotYet):
            proved(log, index)


def test_what_no_published_head_covers_is_not_proved_yet(log: Log) -> None:
    log.append(ENTRIES)
    published(log)
    with pytest.raises(NotYet):
        proved(log, 0)
    national.append_head(log, SIGNER)
    with pytest.raises(NotYet):
        proved(log, 0)
    published(log)
    proved(log, 0)
    flip(log.folder / "sm3" / "level-0", 40)
    with pytest.raises(IntegrityBroken):
        proved(log, 0)
    shutil.rmtree(log.folder / "sm3")
    with pytest.raises(NotYet):
        proved(log, 0)


def test_no_other_proof_holds(log: Log, tmp_path: Path) -> None:
    grown(log, 600)
    national.append_head(log, SIGNER)
    published(log)
    (entry,) = log.entries(17, 1)
    good = proved(log, 17)
    inner, bound = good.proof, good.bound
    replace = msgspec.structs.replace
    other = open_signer(Algorithm.SM2, bytes(range(2, 34)))
    text = parse_note(inner.checkpoint).text
    forged = format_note(Note(text, (sign(text, ORIGIN, SM2, other),)))
    elsewhere = format_checkpoint(Checkpoint("other.example/log", 600, bytes(32)))
    for wrong in (
        replace(good, proof=replace(inner, index=18)),
        replace(good, proof=replace(inner, path=inner.path[1:])),
        replace(good, proof=replace(inner, path=(bytes(32), *inner.path[1:]))),
        replace(good, proof=replace(inner, path=bound.path)),
        replace(good, proof=replace(inner, checkpoint=bound.checkpoint)),
        replace(good, proof=replace(inner, checkpoint=forged)),
        replace(
            good, proof=replace(inner, checkpoint=inner.checkpoint.replace(ORIGIN, "x.example"))
        ),
        replace(
            good,
            proof=replace(
                inner,
                checkpoint=format_note(Note(elsewhere, (sign(elsewhere, ORIGIN, SM2, SIGNER),))),
            ),
        ),
        replace(good, bound=replace(bound, index=bound.index - 1)),
        replace(good, bound=log.prove(11, bound.checkpoint)),  # the head before
        replace(good, bound=replace(bound, checkpoint=inner.checkpoint)),
    ):
        with pytest.raises(IntegrityBroken):
            verify_sm3_proof(wrong, entry, POLICY)
    with pytest.raises(IntegrityBroken):
        verify_sm3_proof(good, entry + b" ", POLICY)
    verify_sm3_proof(good, entry, Policy((KEY,), {}, {}, "none"))  # SM2 alone will do
    for trust in (
        Policy((LOG_KEY,), {}, {}, "none"),
        Policy((LOG_KEY, KEY), {"w": key_of(cosigner(1))}, {}, "w"),
    ):
        with pytest.raises(IntegrityBroken):
            verify_sm3_proof(good, entry, trust)


def test_changed_proof_files_do_not_hold(log: Log) -> None:
    grown(log, 60)
    national.append_head(log, SIGNER)
    published(log)
    (entry,) = log.entries(17, 1)
    proof = msgspec.structs.replace(proved(log, 17))
    whole = format_sm3_proof(
        msgspec.structs.replace(proof, proof=msgspec.structs.replace(proof.proof, extra=None))
    )
    draw = random.Random(4)
    for wrong in (b"", b"pingyao/sm3-proof@v1\n", whole[:-1], whole + b"\n", whole[21:], whole * 2):
        with pytest.raises(IntegrityBroken):
            verify_sm3_proof(parse_sm3_proof(wrong), entry, POLICY)
    said = [(p.index, p.path, parse_note(p.checkpoint).text) for p in (proof.proof, proof.bound)]
    for _ in range(600):
        at, bit = draw.randrange(len(whole)), 1 << draw.randrange(8)
        wrong = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
        try:
            read = parse_sm3_proof(wrong)
            verify_sm3_proof(read, entry, POLICY)
        except IntegrityBroken:
            continue
        # A line of a key nobody knows is passed over; everything said is what it was.
        assert said == [
            (p.index, p.path, parse_note(p.checkpoint).text) for p in (read.proof, read.bound)
        ], (at, bit)


def test_a_head_of_other_entries_or_another_key_is_found(log: Log) -> None:
    log.append(ENTRIES)
    text = format_checkpoint(Checkpoint(ORIGIN, 11, bytes(32)))
    other = open_signer(Algorithm.SM2, bytes(range(2, 34)))
    for signer in (SIGNER, other):
        note = format_note(Note(text, (sign(text, ORIGIN, SM2, signer),)))
        wrong = b'{"note":"%s","schema":"pingyao.sm3-head/1"}' % note.replace("\n", "\\n").encode()
        (index,) = log.append([wrong])
        with pytest.raises(IntegrityBroken):
            national.check_heads(log, index + 1, POLICY)


def test_nothing_is_signed_of_nothing(log: Log) -> None:
    with pytest.raises(Unsupported):
        national.append_head(log, SIGNER)


@pytest.mark.parametrize("size", range(1, 34))
def test_the_frontier_is_the_tree(size: int, tmp_path: Path) -> None:
    from pingyao.ledger.rules.tree import leaf_hashes, perfect_root, range_hash, sm3

    leaves = leaf_hashes([b"%d" % i for i in range(size)], sm3)
    frontier = national.Frontier(sm3)
    frontier.add(leaves)
    whole = range_hash(0, size, lambda n, i: perfect_root(leaves[i << n : (i + 1) << n], sm3), sm3)
    assert frontier.root() == whole
