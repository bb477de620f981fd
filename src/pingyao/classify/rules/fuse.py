"""Fuses evidence as log-odds into a posterior over data types, and knows when to abstain."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from pingyao.classify.model import Evidence, Guess

# Below this posterior a column goes to the review queue instead of being asserted.
ASSERTED_FROM = 0.70
# Values this sure of something else than the metadata says make a conflict for a person to solve.
_CONFLICT_FROM = 6.0
_VALUES = ("values", "text")


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


class Decision(NamedTuple):
    """The outcome of fusion: guesses best first; confidence is that of the best one's family."""

    type: str
    confidence: float
    abstained: bool
    guesses: tuple[Guess, ...]
    conflict: bool


def decide(evidence: Iterable[Evidence], types: Mapping[str, DataType]) -> Decision:
    """Decides a column's type from all evidence, or abstains.

    Args:
        evidence: log-odds in nats; of one origin only the strongest for a type counts, since
            repeated looks at the same thing are not independent.
        types: the vocabulary by id; its families are equally likely beforehand.
    """
    strongest: dict[tuple[str, str], float] = {}
    for each in evidence:
        key = (each.origin, each.type)
        if each.type in types and abs(each.weight) > abs(strongest.get(key, 0.0)):
            strongest[key] = each.weight
    if not strongest:
        return Decision("other", 0.0, True, (), False)
    sizes = Counter(t.family or t.id for t in types.values())
    # Families are equally likely beforehand, however many members the vocabulary gives them.
    scores = {
        id_: _score(type_, strongest, types) - math.log(sizes[type_.family or id_])
        for id_, type_ in types.items()
    }
    top = max(scores.values())
    total = sum(math.exp(s - top) for s in scores.values())
    shares = {id_: math.exp(s - top) / total for id_, s in scores.items()}
    families: dict[str, float] = {}
    for id_, share in shares.items():
        family = types[id_].family or id_
        families[family] = families.get(family, 0.0) + share
    family = max(families, key=lambda f: (families[f], f))
    members = [id_ for id_, t in types.items() if (t.family or id_) == family]
    best = max(members, key=lambda m: (shares[m], m == family))
    ranked = sorted(shares, key=lambda id_: (-shares[id_], id_))
    guesses = tuple(Guess(id_, round(shares[id_], 4)) for id_ in ranked[:3])
    conflict = _conflict(best, strongest, types)
    confidence = round(families[family], 4)
    return Decision(best, confidence, conflict or confidence < ASSERTED_FROM, guesses, conflict)


def _score(
    type_: DataType, strongest: Mapping[tuple[str, str], float], types: Mapping[str, DataType]
) -> float:
    """Adds, per origin, the strongest thing said of this type, its family or its shape."""
    score = 0.0
    origins = {origin for origin, _ in strongest}
    for origin in origins:
        said = [
            weight * _relevance(type_, types[about], origin)
            for (from_, about), weight in strongest.items()
            if from_ == origin and _relevance(type_, types[about], origin)
        ]
        if said:
            score += max(said) if max(said) > 0 else min(said)
    return score


def _relevance(type_: DataType, about: DataType, origin: str) -> float:
    if type_.id == about.id:
        return 1.0
    if origin in _VALUES and about.id in type_.shapes:
        return 0.5
    family = type_.family or type_.id
    if about.id == family:
        return 0.9  # what is said of the family holds, a little less, for each of its members
    if (about.family or about.id) == family and type_.id == family:
        return 0.85
    return 0.0


def _conflict(
    best: str, strongest: Mapping[tuple[str, str], float], types: Mapping[str, DataType]
) -> bool:
    seen = [(w, about) for (origin, about), w in strongest.items() if origin in _VALUES]
    if not seen:
        return False
    weight, about = max(seen)
    if weight < _CONFLICT_FROM:
        return False
    return _relevance(types[best], types[about], "values") == 0.0
