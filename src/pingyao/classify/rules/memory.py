"""What an institution's own decisions teach: a column like one decided before is likely the same."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from pingyao.classify.model import Column, Evidence, Table
from pingyao.classify.rules.fuse import Decision
from pingyao.classify.rules.phrase import stem

# Below this likeness two columns have nothing to say of each other.
_LIKE_FROM = 0.6
# Above this they bear the same name and comment, in tables however different.
_SAME_FROM = 0.9
# A column decided before under the same name and comment outweighs both readings (6 + 6 nats).
_STRONGEST = 14.0
_LEAST = 1.0
_FOLDS = 5
_ROUNDS = 2_000
LEAST_TABLES = 5
_WORD = re.compile(r"[a-z]+|[㐀-鿿]+")
_SHARES = {"name": 0.45, "comment": 0.45, "table": 0.10}


class Lesson(msgspec.Struct, frozen=True):
    """A column somebody decided, and what it was found to be.

    Attributes:
        address: its source, schema, table and name, to be quoted as a reason.
        table, table_comment, name, comment: what likeness is measured on.
        type: the data type decided.
    """

    address: str
    table: str
    table_comment: str
    name: str
    comment: str
    type: str


class Memory(msgspec.Struct, frozen=True):
    """The lessons in force; ``version`` names them in every result they took part in."""

    version: str
    lessons: tuple[Lesson, ...]


class Trial(msgspec.Struct, frozen=True):
    """A lesson with the evidence the machine had of its column, memory left out."""

    lesson: Lesson
    evidence: tuple[Evidence, ...]


class Figures(msgspec.Struct, frozen=True):
    """What cross-validation found, tables kept whole in one fold.

    Attributes:
        right_before, right_after: columns asserted rightly without and with memory.
        wrong_before, wrong_after: columns asserted wrongly without and with memory.
        gain: mean over columns of the change of (+1 right, 0 abstained, -1 wrong), and its 95 %
            interval by bootstrap over tables.
    """

    tables: int
    columns: int
    right_before: int
    right_after: int
    wrong_before: int
    wrong_after: int
    gain: float
    low: float
    high: float

    @property
    def helps(self) -> bool:
        """Whether memory may be switched on: a gain whose lower bound is not below zero."""
        return self.gain > 0 and self.low >= 0 and self.tables >= LEAST_TABLES


class Recall:
    """Lessons laid out for looking up many columns."""

    def __init__(self, memory: Memory) -> None:
        self.version = memory.version
        self._lessons = memory.lessons
        seen = [_features(x.table, x.table_comment, x.name, x.comment) for x in memory.lessons]
        self._postings: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
        self._rarity: dict[str, dict[str, float]] = {}
        self._has: dict[str, np.ndarray] = {}
        for field in _SHARES:
            counts = Counter(f for each in seen for f in each[field])
            rarity = {f: math.log(1 + len(seen) / n) for f, n in counts.items()}
            lists: dict[str, list[tuple[int, float]]] = {}
            for i, each in enumerate(seen):
                norm = math.sqrt(sum(rarity[f] ** 2 for f in each[field])) or 1.0
                for f in each[field]:
                    lists.setdefault(f, []).append((i, rarity[f] / norm))
            self._rarity[field] = rarity
            self._has[field] = np.array([bool(each[field]) for each in seen])
            self._postings[field] = {
                f: (np.array([i for i, _ in rows]), np.array([w for _, w in rows]))
                for f, rows in lists.items()
            }

    def __call__(self, table: Table) -> tuple[tuple[Evidence, ...], ...]:
        """Returns, for each column of a table, what like columns were decided to be."""
        return tuple(self._recall(table, column) for column in table.columns)

    def _recall(self, table: Table, column: Column) -> tuple[Evidence, ...]:
        likeness = self._likeness(_features(table.name, table.comment, column.name, column.comment))
        near = np.flatnonzero(likeness >= _LIKE_FROM)
        if not near.size:
            return ()
        best = int(near[np.argmax(likeness[near])])
        type_ = self._lessons[best].type
        votes = likeness[near] ** 4
        agree = np.array([self._lessons[i].type == type_ for i in near])
        sure = 2 * float(votes[agree].sum() / votes.sum()) - 1
        top = float(likeness[best])
        alike = min(1.0, (top - _LIKE_FROM) / (_SAME_FROM - _LIKE_FROM))
        weight = _STRONGEST * alike**1.5 * sure
        if weight < _LEAST:
            return ()
        said: dict[str, str | int | float | bool] = {
            "column": self._lessons[best].address,
            "similarity": round(top, 3),
            "agree": int(agree.sum()),
            "of": int(near.size),
        }
        return (Evidence("memory", type_, round(weight, 3), "memory.learnt", said),)

    def _likeness(self, features: dict[str, frozenset[str]]) -> np.ndarray:
        total = np.zeros(len(self._lessons))
        shares = np.zeros(len(self._lessons))
        for field, share in _SHARES.items():
            mine = features[field]
            if not mine:
                continue
            unseen = math.log(1 + len(self._lessons))
            rarity = {f: self._rarity[field].get(f, unseen) for f in mine}
            norm = math.sqrt(sum(w * w for w in rarity.values())) or 1.0
            cosine = np.zeros(len(self._lessons))
            for f in mine & self._postings[field].keys():
                rows, weights = self._postings[field][f]
                cosine[rows] += weights * (rarity[f] / norm)
            total += share * cosine
            shares += share * self._has[field]
        # Where there is neither a comment nor a telling name, the table alone says nothing.
        return np.where(shares > _SHARES["table"] + 1e-9, total / np.maximum(shares, 1e-9), 0.0)


def _features(table: str, table_comment: str, name: str, comment: str) -> dict[str, frozenset[str]]:
    return {
        "name": _grams(stem(name), 3),
        "comment": _grams(comment[:60], 2),
        "table": _grams(table, 4) | _grams(table_comment[:60], 2),
    }


def _grams(text: str, n: int) -> frozenset[str]:
    """Whole words, and runs of ``n`` letters or two Chinese characters inside them."""
    found: set[str] = set()
    for word in _WORD.findall(text.lower()):
        found.add(f"={word}")
        size = n if word.isascii() else 2
        edged = f"^{word}$"
        found |= {edged[i : i + size] for i in range(len(edged) - size + 1)}
    return frozenset(found)


def cross_validate(
    trials: Sequence[Trial], decide: Callable[[Sequence[Evidence]], Decision]
) -> Figures:
    """Tells what memory would have changed on columns it had not seen, table by table.

    Args:
        trials: decided columns; all of a table are held out together, since columns of one table
            are decided alike.
        decide: fuses evidence into a decision.
    """
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        where = trial.lesson.address.rpartition("/")[0]
        groups.setdefault((trial.lesson.table, where), []).append(trial)
    ordered = [groups[k] for k in sorted(groups)]
    before: list[list[int]] = []
    after: list[list[int]] = []
    for fold in range(_FOLDS):
        rest = [t for i, g in enumerate(ordered) if i % _FOLDS != fold for t in g]
        recall = Recall(Memory("", tuple(t.lesson for t in rest)))
        for group in ordered[fold::_FOLDS]:
            first = group[0].lesson
            columns = tuple(Column(t.lesson.name, "", t.lesson.comment) for t in group)
            table = Table("", first.table, first.table_comment, columns=columns)
            learnt = recall(table) if rest else ((),) * len(group)
            before.append([_score(decide(t.evidence), t) for t in group])
            after.append(
                [
                    _score(decide((*t.evidence, *more)), t)
                    for t, more in zip(group, learnt, strict=True)
                ]
            )
    changes = np.array([sum(a) - sum(b) for a, b in zip(after, before, strict=True)], float)
    sizes = np.array([len(b) for b in before], float)
    low, high = _interval(changes, sizes)
    flat_before = [s for group in before for s in group]
    flat_after = [s for group in after for s in group]
    return Figures(
        tables=len(ordered),
        columns=len(trials),
        right_before=flat_before.count(1),
        right_after=flat_after.count(1),
        wrong_before=flat_before.count(-1),
        wrong_after=flat_after.count(-1),
        gain=float(changes.sum() / sizes.sum()) if trials else 0.0,
        low=low,
        high=high,
    )


def _score(decision: Decision, trial: Trial) -> int:
    if decision.abstained:
        return 0
    return 1 if decision.type == trial.lesson.type else -1


def _interval(changes: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    if not len(changes):
        return 0.0, 0.0
    rng = np.random.default_rng(7)
    drawn = rng.integers(0, len(changes), (_ROUNDS, len(changes)))
    low, high = np.percentile(changes[drawn].sum(1) / sizes[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)
