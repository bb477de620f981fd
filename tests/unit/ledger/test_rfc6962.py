"""Public vectors of proofs, good and bad, and proofs of our own over small trees."""

import base64
import json
from pathlib import Path

import pytest

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.rules import proofs, tree

VECTORS = Path(__file__).parents[3] / ".." / "shared" / "data" / "tlog" / "rfc6962-proofs"


def _cases(kind: str) -> list[dict[str, object]]:
    folder = VECTORS / kind
    if not folder.exists():
        pytest.skip("shared data (tlog/rfc6962-proofs) is absent")
    return [json.loads(p.read_bytes()) for p in sorted(folder.rglob("*.json"))]


def _hash(case: dict, name: str) -> bytes:
    return base64.b64decode(case[name] or "")


def _path(case: dict) -> list[bytes]:
    return [base64.b64decode(h) for h in case["proof"] or ()]


def _check(kind: str, case: dict) -> None:
    path = _path(case)
    if kind == "inclusion":
        leaf, root = _hash(case, "leafHash"), _hash(case, "root")
        proofs.verify_inclusion(case["leafIdx"], case["treeSize"], leaf, path, root)
    elif kind == "subtreeinclusion":
        leaf, root = _hash(case, "leafHash"), _hash(case, "root")
        proofs.verify_subtree_inclusion(
            case["leafIdx"], case["start"], case["end"], leaf, path, root
        )
    elif kind == "consistency":
        old, new = _hash(case, "root1"), _hash(case, "root2")
        proofs.verify_consistency(case["size1"], case["size2"], old, new, path)
    else:
        old, new = _hash(case, "root1"), _hash(case, "root2")
        proofs.verify_subtree_consistency(case["start"], case["end"], case["size"], old, new, path)


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("inclusion", 98),
        ("consistency", 98),
        ("subtreeinclusion", 204),
        ("subtreeconsistency", 118),
    ],
)
def test_public_vectors(kind: str, count: int) -> None:
    cases = _cases(kind)
    assert len(cases) == count
    for case in cases:
        if case["wantErr"]:
            with pytest.raises(IntegrityBroken):
                _check(kind, case)
        else:
            _check(kind, case)


def _reader(leaves: list[bytes]) -> tree.ReadNode:
    return lambda level, index: tree.perfect_root(leaves[index << level : (index + 1) << level])


def _by_definition(leaves: list[bytes]) -> bytes:
    if not leaves:
        return tree.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    return tree.node_hash(_by_definition(leaves[:middle]), _by_definition(leaves[middle:]))


def test_every_proof_of_small_trees_holds_and_no_other() -> None:
    leaves = tree.leaf_hashes(bytes([i]) for i in range(33))
    roots = [_by_definition(leaves[:n]) for n in range(34)]
    read = _reader(leaves)
    for size in range(1, 34):
        assert tree.range_hash(0, size, read) == roots[size]
        for index in range(size):
            path = [tree.range_hash(*r, read) for r in tree.inclusion_ranges(index, size)]
            proofs.verify_inclusion(index, size, leaves[index], path, roots[size])
            for wrong in {index - 1, index + 1, size}:
                with pytest.raises(IntegrityBroken):
                    proofs.verify_inclusion(wrong, size, leaves[index], path, roots[size])
        for old in range(1, size + 1):
            path = [tree.range_hash(*r, read) for r in tree.consistency_ranges(old, size)]
            proofs.verify_consistency(old, size, roots[old], roots[size], path)
            with pytest.raises(IntegrityBroken):
                proofs.verify_consistency(old, size, roots[old - 1], roots[size], path)


def test_a_witness_accepts_growth_from_nothing_and_only_with_an_empty_proof() -> None:
    leaf = tree.leaf_hash(b"")
    proofs.verify_growth(0, 1, tree.EMPTY_ROOT, leaf, ())
    proofs.verify_growth(0, 0, tree.EMPTY_ROOT, tree.EMPTY_ROOT, ())
    with pytest.raises(IntegrityBroken):
        proofs.verify_growth(0, 1, tree.EMPTY_ROOT, leaf, (leaf,))
    with pytest.raises(IntegrityBroken):
        proofs.verify_growth(0, 0, tree.EMPTY_ROOT, leaf, ())
