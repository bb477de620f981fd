"""The SM3 tree and its SM2 signatures, checked with OpenSSL in both directions."""

import subprocess
from pathlib import Path

import pytest

from pingyao.kernel.errors import IntegrityBroken, Unsupported
from pingyao.ledger import national
from pingyao.ledger.formats.checkpoint import format_checkpoint, parse_checkpoint
from pingyao.ledger.formats.note import key_id, parse_note, verifier_key, verify_note
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.model import ED25519, SM2, Checkpoint, Note, Policy, SignatureLine
from pingyao.ledger.store.writer import Log, create_log
from pingyao.platform.crypto.signers import Algorithm, open_signer
from witnessed import LOG, LOG_KEY, ORIGIN, tree

SIGNER = open_signer(Algorithm.SM2, bytes(range(1, 33)))
KEY = verifier_key(ORIGIN, SM2, SIGNER.public_key)
POLICY = Policy((LOG_KEY, KEY), {}, {}, "none")
ENTRIES = tree(11).entries
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")
SM2_OPTIONS = ["-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678"]


def openssl(*words: object) -> bytes:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, timeout=60)  # noqa: S607
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
    text = national.read_head(entry)
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
    (log.folder / "sm3.json").write_bytes(b"{}")
    national.append_head(log, SIGNER)
    assert national.check_heads(log, log.size, POLICY) == 5


def test_a_head_of_other_entries_or_another_key_is_found(log: Log) -> None:
    log.append(ENTRIES)
    text = format_checkpoint(Checkpoint(ORIGIN, 11, bytes(32)))
    other = open_signer(Algorithm.SM2, bytes(range(2, 34)))
    for signer in (SIGNER, other):
        from pingyao.ledger.formats.note import format_note, sign

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
    frontier = national.Frontier()
    frontier.add(leaves)
    whole = range_hash(0, size, lambda n, i: perfect_root(leaves[i << n : (i + 1) << n], sm3), sm3)
    assert frontier.root() == whole
