"""Fuses evidence as log-odds into a posterior over data types, and knows when to abstain."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pingyao.classify.model import Evidence, Guess

# Below this posterior a column goes to the review queue instead of being asserted.
ASSERTED_FROM = 0.70
# Values this sure of something else than the metadata says make a conflict for a person to solve.
_CONFLICT_FROM = 6.0
_VALUES = ("values", "text")
_GUESSES = 3


class DataType(msgspec.Struct, frozen=True):
    """A data type of the vocabulary.

    Attributes:
        family: the coarse type it is counted under; its own id when it is one.
        by_value: whether values alone can tell it.
        shapes: what its values may look like, as ids of by-value types.
    """

    id: str
    zh: str
    en: str
    family: str = ""
    by_value: bool = False
    shapes: frozenset[str] = frozenset()


class Vocabulary(dict[str, DataType]):
    """The data types by id, never changed; what follows from them is worked out once."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return id(self)


class Decision(NamedTuple):
    """The outcome of fusion: guesses best first; confidence is that of the best one's family."""

    type: str
    confidence: float
    abstained: bool
    guesses: tuple[Guess, ...]
    conflict: bool


def decide(evidence: Iterable[Evidence], types: Vocabulary) -> Decision:
    """Decides a column's type from all evidence, or abstains.

    Args:
        evidence: log-odds in nats; of one origin only the strongest for a type counts, since
            repeated looks at the same thing are not independent.
        types: the vocabulary by id; its families are equally likely beforehand.
    """
    strongest: dict[str, dict[str, float]] = {}
    for each in evidence:
        said = strongest.setdefault(each.origin, {})
        if each.type in types and abs(each.weight) > abs(said.get(each.type, 0.0)):
            said[each.type] = each.weight
    if not any(strongest.values()):
        return Decision("other", 0.0, True, (), False)
    spread = _spread(types)
    scores = _scores(strongest, spread)
    powers = np.exp(scores - scores.max())
    powers /= powers.sum()
    by_family = np.bincount(spread.family_of, powers)
    # Of families equally likely the last in the alphabet's order.
    at = len(by_family) - 1 - int(by_family[::-1].argmax())
    family = spread.families[at]
    shares = dict(zip(spread.ids, powers.tolist(), strict=True))
    best = max(spread.members[family], key=lambda m: (shares[m], m == family))
    ranked = (-powers).argsort(kind="stable")[:_GUESSES].tolist()
    guesses = tuple(Guess(spread.ids[i], round(shares[spread.ids[i]], 4)) for i in ranked)
    conflict = _conflict(best, strongest, types)
    held = float(by_family[at])
    sure = _sure(strongest)
    general = {id_ for id_, t in types.items() if sure in t.shapes} if sure else set[str]()
    if general and (best in general or family == (types[sure].family or sure)):
        # 证件号码 whose values are ID numbers is a column of ID numbers: both speak for it.
        together = {family, types[sure].family or sure, *general} & set(spread.families)
        held = sum(float(by_family[spread.families.index(f)]) for f in together)
        best = sure if best in general else best
    confidence = round(min(held, 1.0), 4)
    return Decision(best, confidence, conflict or confidence < ASSERTED_FROM, guesses, conflict)


class _Spread(NamedTuple):
    """How far what is said of one type reaches, worked out once for a vocabulary.

    Attributes:
        ids: the types in the alphabet's order, by which those equally likely are ordered.
        families: in the alphabet's order; ``family_of`` is the position of each type's.
        members: of each family.
        prior: what to take off each type's score: families are equally likely beforehand, however
            many members the vocabulary gives them.
        reach: by whether values say it and of which type they do, its share for every type.
    """

    ids: tuple[str, ...]
    families: tuple[str, ...]
    family_of: NDArray[np.intp]
    members: Mapping[str, tuple[str, ...]]
    prior: NDArray[np.float64]
    reach: Mapping[tuple[bool, str], NDArray[np.float64]]


@lru_cache(maxsize=4)
def _spread(types: Vocabulary) -> _Spread:
    ids = tuple(sorted(types))
    homes = [types[id_].family or id_ for id_ in ids]
    families = tuple(sorted(set(homes)))
    members = {f: tuple(i for i in types if (types[i].family or i) == f) for f in families}
    reach = {
        (seen, about.id): np.array([_relevance(types[id_], about, seen=seen) for id_ in ids])
        for about in types.values()
        for seen in (False, True)
    }
    return _Spread(
        ids=ids,
        families=families,
        family_of=np.array([families.index(home) for home in homes]),
        members=members,
        prior=np.log([len(members[home]) for home in homes]),
        reach=reach,
    )


def _scores(strongest: Mapping[str, Mapping[str, float]], spread: _Spread) -> NDArray[np.float64]:
    """Adds, per origin, the strongest thing said of each type, its family or its shape."""
    scores = -spread.prior
    for origin, weights in strongest.items():
        seen = origin in _VALUES
        said = [spread.reach[seen, about] * weight for about, weight in weights.items()]
        if len(said) == 1:
            scores += said[0]
        elif said:
            most = np.maximum.reduce(said)
            scores += np.where(most > 0, most, np.minimum.reduce(said))
    return scores


def _relevance(type_: DataType, about: DataType, *, seen: bool) -> float:
    if type_.id == about.id:
        return 1.0
    if seen and about.id in type_.shapes:
        return 0.5
    family = type_.family or type_.id
    if about.id == family:
        return 0.9  # what is said of the family holds, a little less, for each of its members
    if (about.family or about.id) == family and type_.id == family:
        return 0.85
    return 0.0


def _sure(strongest: Mapping[str, Mapping[str, float]]) -> str:
    """Returns the type that values are sure of, empty when they are not."""
    seen = [(w, about) for o in _VALUES for about, w in strongest.get(o, {}).items()]
    weight, about = max(seen, default=(0.0, ""))
    return about if weight >= _CONFLICT_FROM else ""


def _conflict(
    best: str, strongest: Mapping[str, Mapping[str, float]], types: Mapping[str, DataType]
) -> bool:
    sure = _sure(strongest)
    return sure != "" and _relevance(types[best], types[sure], seen=True) == 0.0
