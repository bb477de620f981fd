"""The Go project's own verifier accepts our log, proofs and cosignatures, and refuses damaged ones."""

import os
import random
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "ledger"))

sys.path.insert(0, str(Path(__file__).parent))

from logs import KINDS, ORIGIN, entries, new_log, policy
from test_ledger_cli import Home

from pingyao.ledger import http as edge
from pingyao.ledger.cosigning import Cosigning, publish
from pingyao.ledger.formats.note import format_line, format_vkey, parse_note, sign, verifier_key
from pingyao.ledger.formats.opening import read_opening
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.formats.tlog_proof import format_proof, parse_proof
from pingyao.ledger.formats.tlog_witness import origin_hash
from pingyao.ledger.mirror import Mirror
from pingyao.ledger.model import ED25519, ED25519_COSIGNATURE, Policy
from pingyao.ledger.store.export import export
from pingyao.ledger.store.reader import read_checkpoint
from pingyao.ledger.store.writer import Log, create_log
from pingyao.ledger.witness_store import WitnessStore
from pingyao.platform.crypto.signers import generate, open_signer
from serving import serving
from witnessed import LOG, LOG_KEY, LOGS, cosigner, key_of
from witnessed import ORIGIN as MIRRORED

SOURCE = Path(__file__).parents[1] / "go" / "verify"
# Where Debian puts the sources of Go libraries.
GOPATH = "/usr/share/gocode"


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go")
    if go is None or not Path(GOPATH, "src/golang.org/x/mod/sumdb/tlog").exists():
        pytest.skip("Go or its x/mod library is not installed (deploy/test-servers.sh)")
    folder = tmp_path_factory.mktemp("go")
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": GOPATH,
        "GOFLAGS": "",
        "GOCACHE": str(folder / "cache"),
        "CGO_ENABLED": "0",
    }
    subprocess.run(
        [go, "build", "-o", folder / "verify", "."],
        cwd=SOURCE,
        env=environment,
        check=True,
        timeout=600,
    )
    return folder / "verify"


WITNESSES = [
    open_signer(ED25519_COSIGNATURE.algorithm, generate(ED25519_COSIGNATURE.algorithm))
    for _ in "ab"
]
COSIGNERS = [
    verifier_key(f"witness{i}.example", ED25519_COSIGNATURE, w.public_key)
    for i, w in enumerate(WITNESSES)
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three levels of tiles, exported, with proofs and an older checkpoint beside it."""
    folder = tmp_path_factory.mktemp("written")
    data = entries(0, 1000)
    with new_log(folder / "log", KINDS) as log:
        log.append(data[:300])
        (folder / "old").write_text(log.sign()[1])
        log.append(data[300:])
        _, note = log.sign()
        text = parse_note(note).text
        for witness, key in zip(WITNESSES, COSIGNERS, strict=True):
            note += format_line(sign(text, key.name, key.type, witness, 1_800_000_000))
        log.publish(note)
        for index in (0, 255, 256, 767, 999):
            (folder / f"{index}.tlog-proof").write_bytes(
                format_proof(log.prove(index, note, b"context"))
            )
            (folder / f"{index}.entry").write_bytes(data[index])
    export(folder / "log", folder / "out")
    return folder


def _run(verifier: Path, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [str(folder / "out"), format_vkey(policy().logs[0])]
    for key in COSIGNERS:
        words += ["-cosigner", format_vkey(key)]
    for index in (0, 255, 256, 767, 999):
        words += ["-proof", f"{folder}/{index}.tlog-proof", f"{folder}/{index}.entry"]
    return subprocess.run(
        [verifier, *words, *more, "-old", str(folder / "old")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_accepts_what_we_write(verifier: Path, written: Path) -> None:
    done = _run(verifier, written)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1000 entries, 5 proofs, 2 cosignatures\n"
    again = read_checkpoint(written / "log", policy(KINDS))
    assert again is not None
    assert again[0].origin == ORIGIN


def test_it_refuses_every_damaged_file(verifier: Path, written: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(written, folder)
    draw = random.Random(3)
    files = [p for p in (folder / "out").rglob("*") if p.is_file()]
    files += [*folder.glob("*.entry"), folder / "old"]
    assert len(files) > 12
    for path in files:
        whole = path.read_bytes()
        # A line of a key Go does not know says nothing to it; the text, and its own lines, come first.
        end = whole.find(b"\n") if path.name in ("checkpoint", "old") else len(whole)
        at = draw.randrange(end)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert _run(verifier, folder).returncode != 0, path
        path.write_bytes(whole)
    assert _run(verifier, folder).returncode == 0


def test_it_refuses_damaged_proofs(verifier: Path, written: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(written, folder)
    path = folder / "767.tlog-proof"
    whole = path.read_text()
    lines = whole.split("\n")
    signed = [i for i, line in enumerate(lines) if line.startswith("— witness")]
    assert len(signed) == 2
    for i, old, new in [
        (2, "index 767", "index 766"),
        (3, lines[3], lines[4]),
        (lines.index("1000"), "1000", "1001"),
        *((i, lines[i][-9], "A" if lines[i][-9] != "A" else "B") for i in signed),
    ]:
        wrong = [*lines[:i], lines[i].replace(old, new), *lines[i + 1 :]]
        path.write_text("\n".join(wrong))
        assert wrong != lines
        assert _run(verifier, folder).returncode != 0, lines[i]
    path.write_text(whole)
    assert _run(verifier, folder).returncode == 0


def _check(verifier: Path, out: Path, vkey: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [verifier, out, vkey, *more], capture_output=True, text=True, timeout=60, check=False
    )


def _refuses_damaged(verifier: Path, out: Path, vkey: str, *more: str) -> None:
    draw = random.Random(5)
    files = [p for p in out.rglob("*") if p.is_file()]
    assert len(files) > 2
    for path in files:
        whole = path.read_bytes()
        at = draw.randrange(whole.find(b"\n\n") if path.name == "checkpoint" else len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert _check(verifier, out, vkey, *more).returncode != 0, path
        path.write_bytes(whole)
    assert _check(verifier, out, vkey, *more).returncode == 0


def test_it_accepts_what_a_mirror_holds(verifier: Path, tmp_path: Path) -> None:
    own = cosigner(9)
    held = tmp_path / "mirror" / origin_hash(MIRRORED)
    with (
        closing(WitnessStore(tmp_path / "pending.db")) as store,
        closing(Mirror(held, [LOG_KEY], [own], store, lambda: 1_800_000_000.0)) as mirror,
        serving(edge.mirror(LOGS, {MIRRORED: mirror}, store)) as url,
    ):
        trust = Policy((LOG_KEY,), {"m": key_of(own)}, {}, "m", {"m": url})
        create_log(tmp_path / "log", format_policy(trust))
        with (
            Log(tmp_path / "log", [(ED25519, LOG)], mark=tmp_path / "mark") as log,
            Cosigning(trust) as cosigning,
        ):
            for first in (0, 300):
                log.append(entries(first, 700))
                publish(log, cosigning)
            size = log.size
    export(held, tmp_path / "out")
    words = (verifier, tmp_path / "out", format_vkey(LOG_KEY))
    done = _check(*words, "-cosigner", format_vkey(key_of(own)))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{size} entries, 0 proofs, 1 cosignatures\n"
    assert _check(*words, "-cosigner", format_vkey(key_of(cosigner(8)))).returncode != 0
    assert _check(verifier, tmp_path / "out", format_vkey(policy().logs[0])).returncode != 0
    _refuses_damaged(*words, "-cosigner", format_vkey(key_of(own)))


def test_it_follows_a_rotation(verifier: Path, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.must("init", home.log, "--origin", "bank.example/evidence")
    old = (home.log / "policy").read_text().split()[1]
    home.must("append", home.log, home.contract)
    home.must("rotate", home.log)
    (new,) = set(re.findall(r"^log (\S+)", (home.log / "policy").read_text(), re.M)) - {old}
    home.must("export", home.log, tmp_path / "both")
    for vkey in (old, new):
        assert _check(verifier, tmp_path / "both", vkey).stdout.startswith("2 entries")
    _refuses_damaged(verifier, tmp_path / "both", new)
    home.must("rotate", home.log, "--retire")
    (tmp_path / "a.txt").write_text("a")
    home.must("append", home.log, tmp_path / "a.txt")
    home.must("export", home.log, tmp_path / "after")
    assert _check(verifier, tmp_path / "after", old).returncode != 0
    assert _check(verifier, tmp_path / "after", new).stdout.startswith("3 entries")
    rotation = home.log / "rotations" / "1.tlog-proof"
    entry, _ = read_opening(parse_proof(rotation.read_bytes()).extra) or (b"", None)
    (tmp_path / "entry").write_bytes(entry)
    proof = ("-proof", str(rotation), str(tmp_path / "entry"))
    assert _check(verifier, tmp_path / "both", old, *proof).returncode == 0
    (tmp_path / "entry").write_bytes(entry.replace(b"rotat", b"rotas"))
    assert _check(verifier, tmp_path / "both", old, *proof).returncode != 0
    _refuses_damaged(verifier, tmp_path / "after", new)
