"""The log: durable, the same after any restart, never smaller, never forked, never twice."""

import errno
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from logs import KINDS, entries, new_log, open_log, policy, publish

from pingyao.kernel.errors import Conflict, IntegrityBroken, Invalid, NotFound, Unavailable
from pingyao.ledger.formats import tlog_tiles as tiles
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import parse_note, verify_note
from pingyao.ledger.formats.tlog_proof import format_proof, parse_proof, verify_proof
from pingyao.ledger.rules import proofs, tree
from pingyao.ledger.store import growing
from pingyao.ledger.store import seen as seen_runs
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.reader import open_reader, own_head


def _root(data: list[bytes]) -> bytes:
    leaves = tree.leaf_hashes(data)
    return tree.range_hash(
        0, len(leaves), lambda level, i: tree.perfect_root(leaves[i << level : (i + 1) << level])
    )


def test_every_entry_is_proved_and_every_growth(tmp_path: Path) -> None:
    data = entries(0, 700)
    with new_log(tmp_path / "log", KINDS) as log:
        notes = []
        for first, count in [(0, 1), (1, 254), (255, 1), (256, 2), (258, 442)]:
            assert log.append(data[first : first + count]) == list(range(first, first + count))
            notes.append(publish(log))
            head = own_head(notes[-1], log.policy)
            assert head.root == _root(data[: head.size])
        last = own_head(notes[-1], log.policy)
        for note in notes:
            old = own_head(note, log.policy)
            path = log.consistency(old.size, last.size)
            proofs.verify_consistency(old.size, last.size, old.root, last.root, path)
    reader = open_reader(tmp_path / "log")
    for index in range(700):
        assert reader.entries(index, 1) == [data[index]]
        proof = parse_proof(format_proof(reader.prove(index, notes[-1])))
        verify_proof(proof, tree.leaf_hash(data[index]), policy(KINDS))
    assert reader.entries(0, 700) == data
    reader.close()


def test_tiles_are_what_the_specification_says(tmp_path: Path) -> None:
    data = entries(0, 600)
    with new_log(tmp_path / "log") as log:
        log.append(data)
        leaves = tree.leaf_hashes(data)
        for tile in tiles.tiles_of(600):
            content = log.tile(tile, 600)
            if tile.is_bundle:
                start = tile.index * 256
                assert tiles.split_bundle(content, tile.width) == data[start : start + tile.width]
            elif tile.level == 0:
                start = tile.index * 256
                assert tiles.split_tile(content, tile.width) == leaves[start : start + tile.width]
            else:
                assert content == tree.perfect_root(leaves[:256]) + tree.perfect_root(
                    leaves[256:512]
                )
        for absent in (tiles.Tile(0, 2, 89), tiles.Tile(0, 3, 1), tiles.Tile(1, 0, 3)):
            with pytest.raises(NotFound):
                log.tile(absent, 600)


def test_the_same_entries_again_add_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen_runs, "RUN", 64)
    data = entries(0, 1000)
    with new_log(tmp_path / "log") as log:
        for i in range(0, 1000, 50):
            log.append(data[i : i + 50])
        assert log.append(data) == list(range(1000))
        twice = log.append([b"new", b"new", data[999], b"newer", b"new"])
        assert twice == [1000, 1000, 999, 1001, 1000]
        runs = sorted(os.listdir(tmp_path / "log" / "seen"))
        assert runs == sorted(f"{i}-{i + 64}" for i in range(0, 960, 64))
    with open_log(tmp_path / "log") as log:
        assert log.append([*data, b"newer"]) == [*range(1000), 1001]
        assert log.size == 1002
    shutil.rmtree(tmp_path / "log" / "seen")
    with open_log(tmp_path / "log") as log:
        assert log.append([data[5], b"newest"]) == [5, 1002]
    assert fsck(tmp_path / "log").findings == ()


@pytest.mark.parametrize("lost", ["hashes", "seen", "resume.json", "checkpoint"])
def test_what_is_derived_may_be_lost(tmp_path: Path, lost: str) -> None:
    with new_log(tmp_path / "log") as log:
        log.append(entries(0, 300))
        before = publish(log)
    path = tmp_path / "log" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with open_log(tmp_path / "log") as log:
        assert publish(log) == before
    assert fsck(tmp_path / "log").findings == ()


def test_damaged_derived_files_are_made_anew(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log:
        log.append(entries(0, 700))
        before = publish(log)
    path = tmp_path / "log" / "hashes" / "level-1"
    path.write_bytes(bytes(len(path.read_bytes())))
    with open_log(tmp_path / "log") as log:
        assert publish(log) == before
    assert fsck(tmp_path / "log").findings == ()


def test_a_torn_last_batch_is_cut_wherever_it_tore(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log:
        log.append(entries(0, 3))
        publish(log)
    path = tmp_path / "log" / "entries"
    whole = path.read_bytes()
    with open_log(tmp_path / "log") as log:
        log.append(entries(3, 4))
    longer = path.read_bytes()
    for end in range(len(whole), len(longer)):
        for filler in (b"", bytes(len(longer) - end)):
            path.write_bytes(longer[:end] + filler)
            (tmp_path / "log" / "resume.json").unlink()
            with open_log(tmp_path / "log") as log:
                assert log.size == 3
                assert log.append(entries(3, 4)) == [3, 4, 5, 6]
            assert path.read_bytes() == longer


def test_a_torn_batch_that_was_signed_is_no_torn_batch(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log:
        log.append(entries(0, 3))
        publish(log)
    path = tmp_path / "log" / "entries"
    whole = path.read_bytes()
    for end in range(16, len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(IntegrityBroken) as refused:
            open_log(tmp_path / "log")
        assert refused.value.code == "ledger.rolled_back"
        assert path.read_bytes() == whole[:end]


def test_a_damaged_batch_in_the_middle_is_never_cut(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log:
        for i in range(4):
            log.append(entries(i, 1))
    path = tmp_path / "log" / "entries"
    whole = path.read_bytes()
    (tmp_path / "log" / "resume.json").unlink()
    size = (len(whole) - 16) // 4
    for at in range(16, 16 + 3 * size):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(IntegrityBroken) as refused:
            open_log(tmp_path / "log")
        assert refused.value.code in ("ledger.entries.damaged", "ledger.rolled_back")
        assert len(path.read_bytes()) == len(whole)


def test_a_restored_backup_is_refused(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log:
        log.append(entries(0, 10))
        publish(log)
    shutil.copytree(tmp_path / "log", tmp_path / "backup")
    with open_log(tmp_path / "log") as log:
        log.append(entries(10, 10))
        note = publish(log)
    shutil.rmtree(tmp_path / "log")
    shutil.copytree(tmp_path / "backup", tmp_path / "log")
    with pytest.raises(IntegrityBroken) as refused:
        open_log(tmp_path / "log")
    assert refused.value.code == "ledger.rolled_back"
    # The whole machine was taken back, the mark as well: what a witness holds still tells.
    other = tmp_path / "another-mark"
    with pytest.raises(IntegrityBroken) as refused:
        open_log(tmp_path / "log", mark=other, heads=[note])
    assert refused.value.code == "ledger.rolled_back"
    # The right entries added again make it good.
    with open_log(tmp_path / "log", mark=other) as log:
        log.append(entries(10, 10))
    with open_log(tmp_path / "log", heads=[note]) as log:
        assert log.size == 20


def test_a_fork_is_refused_and_both_notes_are_proof(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log:
        log.append(entries(0, 10))
        publish(log)
    shutil.copytree(tmp_path / "log", tmp_path / "other")
    with open_log(tmp_path / "log") as log:
        log.append(entries(10, 5))
        ours = publish(log)
    with open_log(tmp_path / "other", mark=tmp_path / "elsewhere") as log:
        log.append(entries(50, 7))
        theirs = publish(log)
    for folder, mark, head in [("log", None, theirs), ("other", tmp_path / "elsewhere", ours)]:
        with pytest.raises(IntegrityBroken):
            open_log(tmp_path / folder, mark=mark, heads=[head])
    with pytest.raises(IntegrityBroken) as refused:
        open_log(tmp_path / "other", mark=None, heads=[ours])
    assert refused.value.code == "ledger.forked"
    # Anybody can check that one key signed both, and that neither grew from the other.
    heads = [own_head(n, policy()) for n in (ours, theirs)]
    assert [h.size for h in heads] == [15, 17]


def test_two_sequencers_are_refused(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log:
        log.append(entries(0, 1))
        with pytest.raises(Conflict):
            open_log(tmp_path / "log", mark=tmp_path / "elsewhere")
        shutil.copytree(tmp_path / "log", tmp_path / "copy")
        with pytest.raises(Conflict):
            open_log(tmp_path / "copy", mark=tmp_path / "log-mark")
        publish(log)
    open_log(tmp_path / "log").close()


def test_a_full_disk_loses_nothing_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_log(tmp_path / "log") as log:
        log.append(entries(0, 10))
        room = 100
        write = os.pwrite

        def full(handle: int, data: bytes, at: int) -> int:
            if room < len(data):
                write(handle, data[:room], at)
                raise OSError(errno.ENOSPC, "full")
            return write(handle, data, at)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(Unavailable) as refused:
                log.append(entries(10, 10))
        assert refused.value.code == "ledger.disk_full"
        assert log.append(entries(10, 10)) == list(range(10, 20))
        publish(log)
    assert fsck(tmp_path / "log").findings == ()


@pytest.mark.parametrize("function", ["fdatasync", "pwrite"])
def test_a_failing_disk_stops_the_log_until_it_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    log = new_log(tmp_path / "log")
    log.append(entries(0, 10))
    publish(log)
    real = getattr(os, function)
    calls = 0

    def fail(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        # The write of the entries passes, that of the derived files fails.
        if function == "pwrite" and calls == 1:
            return real(*arguments)
        raise OSError(errno.EIO, "failed")

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(Unavailable):
            log.append(entries(10, 10))
    with pytest.raises(Unavailable):
        log.append(entries(20, 1))
    log.close()
    with open_log(tmp_path / "log") as log:
        assert log.append(entries(10, 10)) == list(range(10, 20))
    assert fsck(tmp_path / "log").findings == ()


def test_a_head_that_cannot_be_marked_or_published_does_not_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_log(tmp_path / "log") as log:
        log.append(entries(0, 3))

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "full")

        with monkeypatch.context() as patch:
            patch.setattr("pingyao.ledger.store.mark.write_atomically", full)
            with pytest.raises(Unavailable):
                log.sign()
        _, note = log.sign()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", full)
            with pytest.raises(Unavailable):
                log.publish(note)
        assert not (tmp_path / "log" / "checkpoint").exists()
        log.publish(note)


@pytest.mark.parametrize("bad", [b"", b"\xff\xfe", b"no note\n"])
def test_a_damaged_mark_is_not_passed_over(tmp_path: Path, bad: bytes) -> None:
    with new_log(tmp_path / "log") as log:
        log.append(entries(0, 3))
        publish(log)
    (tmp_path / "log-mark" / "head").write_bytes(bad)
    with pytest.raises(IntegrityBroken):
        open_log(tmp_path / "log")


def test_a_clock_set_back_never_shows(tmp_path: Path) -> None:
    with new_log(tmp_path / "log", KINDS, clock=lambda: 2_000_000_000.0) as log:
        log.append(entries(0, 1))
        publish(log)
    with open_log(tmp_path / "log", KINDS, clock=lambda: 1_000_000_000.0) as log:
        log.append(entries(1, 1))
        note = publish(log)
    signed = verify_note(parse_note(note), policy(KINDS).logs)
    assert [s.at for s in signed] == [None, 2_000_000_000, None]


def test_keys_that_are_not_the_logs_are_refused(tmp_path: Path) -> None:
    new_log(tmp_path / "log").close()
    with pytest.raises(Invalid):
        open_log(tmp_path / "log", KINDS)
    with pytest.raises(Invalid):
        open_log(tmp_path / "log", ())
    open_log(tmp_path / "log").close()


@pytest.mark.parametrize("bad", [[b""], [b"x" * 65_536], [b"x"] * 16_385, [b"x" * 65_000] * 600])
def test_entries_out_of_bounds_are_refused_and_nothing_is_written(
    tmp_path: Path, bad: list[bytes]
) -> None:
    with new_log(tmp_path / "log") as log:
        with pytest.raises(Invalid):
            log.append([b"good", *bad])
        assert log.size == 0
        assert log.append([b"x" * 65_535, b"y"]) == [0, 1]
        assert log.append([]) == []
        publish(log)
    assert fsck(tmp_path / "log").findings == ()


def test_a_head_of_another_tree_or_key_is_not_published(tmp_path: Path) -> None:
    with new_log(tmp_path / "a") as a, new_log(tmp_path / "b") as b:
        a.append(entries(0, 3))
        b.append(entries(5, 3))
        _, note = b.sign()
        with pytest.raises(IntegrityBroken):
            a.publish(note)
        first = publish(a)
        a.append(entries(3, 1))
        publish(a)
        a.publish(first)
        assert (
            parse_checkpoint(parse_note((tmp_path / "a" / "checkpoint").read_text()).text).size == 4
        )


def test_restart_reads_only_what_is_not_yet_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "_FLUSH_EVERY", 256)
    log = new_log(tmp_path / "log")
    for i in range(10):
        log.append(entries(i * 100, 100))
    note = publish(log)
    # As after a kill: nothing more is written, and the locks end with the process.
    for handle in (log._lock, log._mark._lock):
        os.close(handle)
    read: list[int] = []
    real = growing.leaf_hashes
    monkeypatch.setattr(growing, "leaf_hashes", lambda e: (read.append(len(e)), real(e))[1])
    with open_log(tmp_path / "log") as again:
        assert sum(read) == 100
        assert publish(again) == note


def test_a_folder_without_a_log(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_log(tmp_path)
    with pytest.raises(NotFound):
        open_reader(tmp_path)
    with pytest.raises(NotFound):
        fsck(tmp_path)
    (tmp_path / "x").write_text("")
    with pytest.raises(Invalid):
        new_log(tmp_path)
