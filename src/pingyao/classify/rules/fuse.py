"""Fuses evidence as log-odds into a posterior over data types, and knows when to abstain."""

import math
from collections.abc import Iterable, Mapping

from pingyao.classify.model import Evidence, Guess

# Below this posterior a column goes to the review queue instead of being asserted.
ASSERTED_FROM = 0.70


def posterior(evidence: Iterable[Evidence], priors: Mapping[str, float]) -> tuple[Guess, ...]:
    """Returns every type with its probability, best first.

    Args:
        evidence: log-odds in nats; of one origin only the strongest for a type counts, for
            repeated looks at the same thing are not independent.
        priors: log-prior in nats of every type there is.
    """
    strongest: dict[tuple[str, str], float] = {}
    for each in evidence:
        key = (each.origin, each.type)
        if abs(each.weight) > abs(strongest.get(key, 0.0)):
            strongest[key] = each.weight
    scores = dict(priors)
    for (_, type_), weight in strongest.items():
        if type_ in scores:
            scores[type_] += weight
    top = max(scores.values())
    total = sum(math.exp(s - top) for s in scores.values())
    guesses = [Guess(t, math.exp(s - top) / total) for t, s in scores.items()]
    return tuple(sorted(guesses, key=lambda g: (-g.probability, g.type)))
