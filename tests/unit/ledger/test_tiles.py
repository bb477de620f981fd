"""Tiles: paths, widths and contents, and a real log written by others."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingyao.kernel.errors import IntegrityBroken, NotFound
from pingyao.ledger.formats import note as notes
from pingyao.ledger.formats import tlog_tiles as tiles
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.rules import tree

TESSERA = Path(__file__).parents[3] / ".." / "shared" / "data" / "tlog" / "tessera-log"
VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (tiles.Tile(0, 0), "tile/0/000"),
        (tiles.Tile(0, 1234067), "tile/0/x001/x234/067"),
        (tiles.Tile(63, 999, 1), "tile/63/999.p/1"),
        (tiles.Tile(1, 1000, 255), "tile/1/x001/000.p/255"),
        (tiles.bundle(273, 112), "tile/entries/273.p/112"),
    ],
)
def test_paths(tile: tiles.Tile, path: str) -> None:
    assert tiles.format_path(tile) == path
    assert tiles.parse_path(path) == tile


@given(st.builds(tiles.Tile, st.integers(-1, 63), st.integers(0, 2**55), st.integers(1, 256)))
def test_every_tile_has_one_path(tile: tiles.Tile) -> None:
    assert tiles.parse_path(tiles.format_path(tile)) == tile


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000/",
        "tile/0/../000",
        "tile/data/000",
        "tile/0/٠٠٠",
        "tile/0/" + "x001/" * 9 + "000",
        "tile/0/000\n",
    ],
)
def test_other_paths_are_refused(bad: str) -> None:
    with pytest.raises(NotFound):
        tiles.parse_path(bad)


def test_the_tree_of_70000_of_the_specification() -> None:
    found = [t for t in tiles.tiles_of(70_000) if not t.is_bundle]
    assert sum(t.level == 0 and t.width == 256 for t in found) == 273
    assert tiles.Tile(0, 273, 112) in found
    assert [t for t in found if t.level == 1] == [tiles.Tile(1, 0), tiles.Tile(1, 1, 17)]
    assert [t for t in found if t.level >= 2] == [tiles.Tile(2, 0, 1)]
    assert list(tiles.tiles_of(256)) == [tiles.bundle(0), tiles.Tile(0, 0), tiles.Tile(1, 0, 1)]
    assert list(tiles.tiles_of(0)) == []


def test_a_real_log_of_others_reads_hashes_and_writes_the_same() -> None:
    if not TESSERA.exists():
        pytest.skip("shared data (tlog/tessera-log) is absent")
    key = notes.parse_vkey(VKEY)
    checkpoints = sorted(TESSERA.glob("checkpoint.*"))
    assert len(checkpoints) == 16
    sizes: list[int] = []
    for path in checkpoints:
        note = notes.parse_note(path.read_bytes())
        notes.verify_note(note, [key])
        head = parse_checkpoint(note.text)
        assert notes.format_note(note).encode() == path.read_bytes()
        sizes.append(head.size)
        if not head.size:
            assert head.root == tree.EMPTY_ROOT
            continue
        data = (TESSERA / tiles.format_path(tiles.bundle(0, head.size))).read_bytes()
        entries = tiles.split_bundle(data, head.size)
        assert tiles.join_bundle(entries) == data
        leaves = tree.leaf_hashes(entries)
        tile = (TESSERA / tiles.format_path(tiles.Tile(0, 0, head.size))).read_bytes()
        assert tiles.split_tile(tile, head.size) == leaves
        read = _reader(leaves)
        assert tree.range_hash(0, head.size, read) == head.root
    assert sorted(sizes) == list(range(16))


def _reader(leaves: list[bytes]) -> tree.ReadNode:
    return lambda level, index: tree.perfect_root(leaves[index << level : (index + 1) << level])


def test_bundles_and_tiles_of_another_length_are_refused() -> None:
    data = tiles.join_bundle([b"", b"one", b"x" * 65_535])
    assert tiles.split_bundle(data, 3) == [b"", b"one", b"x" * 65_535]
    for bad, width in [(data, 2), (data, 4), (data[:-1], 3), (data + b"\0", 3), (b"", 1)]:
        with pytest.raises(IntegrityBroken):
            tiles.split_bundle(bad, width)
    for bad, width in [(bytes(31), 1), (bytes(33), 1), (bytes(64), 1), (b"", 1)]:
        with pytest.raises(IntegrityBroken):
            tiles.split_tile(bad, width)
