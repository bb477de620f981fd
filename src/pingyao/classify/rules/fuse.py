"""Fuses evidence as log-odds into a posterior over data types, and knows when to abstain."""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec

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
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    shares = dict(zip(types, [power / total for power in powers], strict=True))
    families: dict[str, float] = {}
    for share, family in zip(shares.values(), spread.families, strict=True):
        families[family] = families.get(family, 0.0) + share
    family = max(families, key=lambda f: (families[f], f))
    best = max(spread.members[family], key=lambda m: (shares[m], m == family))
    ranked = sorted(spread.alphabetical, key=shares.__getitem__, reverse=True)
    guesses = tuple(Guess(id_, round(shares[id_], 4)) for id_ in ranked[:_GUESSES])
    conflict = _conflict(best, strongest, types)
    confidence = round(families[family], 4)
    return Decision(best, confidence, conflict or confidence < ASSERTED_FROM, guesses, conflict)


class _Spread(NamedTuple):
    """How far what is said of one type reaches, worked out once for a vocabulary.

    Attributes:
        families: of each type, in the vocabulary's order.
        members: of each family.
        prior: what to take off each type's score: families are equally likely beforehand, however
            many members the vocabulary gives them.
        reach: by whether values say it and of which type they do, the types it bears upon, by
            position, with its share for each.
        alphabetical: the types, by which those equally likely are ordered.
    """

    families: tuple[str, ...]
    members: Mapping[str, tuple[str, ...]]
    prior: tuple[float, ...]
    reach: Mapping[tuple[bool, str], tuple[tuple[int, float], ...]]
    alphabetical: tuple[str, ...]


@lru_cache(maxsize=4)
def _spread(types: Vocabulary) -> _Spread:
    families = tuple(t.family or t.id for t in types.values())
    members: dict[str, tuple[str, ...]] = {}
    for id_, family in zip(types, families, strict=True):
        members[family] = (*members.get(family, ()), id_)
    reach = {
        (seen, about.id): tuple(
            (at, share)
            for at, type_ in enumerate(types.values())
            if (share := _relevance(type_, about, seen=seen))
        )
        for about in types.values()
        for seen in (False, True)
    }
    prior = tuple(math.log(len(members[f])) for f in families)
    return _Spread(families, members, prior, reach, tuple(sorted(types)))


def _scores(strongest: Mapping[str, Mapping[str, float]], spread: _Spread) -> list[float]:
    """Adds, per origin, the strongest thing said of each type, its family or its shape."""
    scores = [0.0] * len(spread.prior)
    for origin, weights in strongest.items():
        most: dict[int, float] = {}
        least: dict[int, float] = {}
        for about, weight in weights.items():
            for at, share in spread.reach[origin in _VALUES, about]:
                said = weight * share
                most[at] = max(most.get(at, said), said)
                least[at] = min(least.get(at, said), said)
        for at, said in most.items():
            scores[at] += said if said > 0 else least[at]
    return [score - prior for score, prior in zip(scores, spread.prior, strict=True)]


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


def _conflict(
    best: str, strongest: Mapping[str, Mapping[str, float]], types: Mapping[str, DataType]
) -> bool:
    seen = [(w, about) for o in _VALUES for about, w in strongest.get(o, {}).items()]
    if not seen:
        return False
    weight, about = max(seen)
    if weight < _CONFLICT_FROM:
        return False
    return _relevance(types[best], types[about], seen=True) == 0.0
