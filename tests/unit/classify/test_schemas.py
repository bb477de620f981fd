"""Six schemas of our own, in the manners banks write them, with what a labeller would say of them.

Each file holds tables (``@ name comment``) and columns (``name|comment|type|data type, level and
class``). Labels follow the conventions of the labelled columns the evaluation reads.
"""

from pathlib import Path

import pytest

from pingyao.app.evaluate.columns import Key, Labelled, Scores, predict, score, without_comments
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.model import Column, Table

KNOWLEDGE = load_knowledge()
SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("*.txt"))


def read(path: Path) -> tuple[list[Table], list[Labelled]]:
    tables: list[Table] = []
    labels: list[Labelled] = []
    for block in path.read_text("utf-8").split("@ ")[1:]:
        head, *lines = block.strip().splitlines()
        name, _, comment = head.partition(" ")
        columns: list[Column] = []
        for line in lines:
            column, said, declared, label = line.split("|")
            type_, level, personal = label.split()
            columns.append(Column(column, declared, said))
            labels.append(Labelled(path.stem, name, column, type_, int(level), personal, 1.0))
        tables.append(Table("", name, comment, columns=tuple(columns)))
    return tables, labels


def judged(*, comments: bool) -> Scores:
    labels: list[Labelled] = []
    said: dict[Key, object] = {}
    for path in SCHEMAS:
        tables, labelled = read(path)
        labels += labelled
        said |= predict(path.stem, tables if comments else map(without_comments, tables), KNOWLEDGE)
    return score(labels, said, KNOWLEDGE)


def test_all_schemas_are_read() -> None:
    assert sum(len(read(path)[1]) for path in SCHEMAS) > 500


def test_with_comments() -> None:
    scores = judged(comments=True)
    assert scores.missing == 0
    assert scores.types.value >= 0.93
    assert scores.levels.value >= 0.95
    assert scores.sensitive.value >= 0.96
    assert scores.personal.value >= 0.95
    assert scores.asserted.value >= 0.95


def test_without_comments_it_abstains_rather_than_errs() -> None:
    scores = judged(comments=False)
    assert scores.asserted.value >= 0.93
    assert scores.coverage.value >= 0.5
    assert scores.sensitive.value >= 0.85


@pytest.mark.parametrize("word", ["学位", "职业", "摘要"])
def test_words_whose_gbk_bytes_look_like_utf8_are_left_alone(word: str) -> None:
    table = Table("", "t", "", columns=(Column("zd1", "", word),))
    assert predict("s", [table], KNOWLEDGE)["s", "t", "zd1"].evidence
