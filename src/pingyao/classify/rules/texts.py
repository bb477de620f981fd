"""What a text is about, in the categories of JR/T 0197, by the words such texts use."""

import math
from collections import Counter
from typing import NamedTuple

import ahocorasick_rs
import msgspec


class Topic(msgspec.Struct, frozen=True):
    """A category of text: its words, the telling ones apart, and its minimum level."""

    name: str
    level: int
    telling: tuple[str, ...]
    usual: tuple[str, ...] = ()


class TextReading(NamedTuple):
    """What a text is about: categories best first with their share of belief, and its level."""

    topics: tuple[tuple[str, float], ...]
    level: int


_NAME_WEIGHT = 2.2
_USUAL_WEIGHT = 0.25
_SHOWN = 5


class Reader:
    """Finds the words of all topics in one pass over a text."""

    def __init__(self, topics: tuple[Topic, ...]) -> None:
        self._topics = topics
        weights: dict[str, list[tuple[int, float]]] = {}
        for index, topic in enumerate(topics):
            for word in topic.telling:
                weights.setdefault(word, []).append((index, 1.0))
            for word in topic.usual:
                weights.setdefault(word, []).append((index, _USUAL_WEIGHT))
            for word in _names(topic.name):
                weights.setdefault(word, []).append((index, _NAME_WEIGHT))
        self._words = [*weights]
        # A word of many topics tells little of any one of them; a long word more than a short one.
        self._weights = [
            [
                (i, w * math.log(1 + len(topics) / len(weights[word])) * min(2.0, len(word) / 3))
                for i, w in weights[word]
            ]
            for word in self._words
        ]
        self._finder = ahocorasick_rs.AhoCorasick([w.lower() for w in self._words])

    def read(self, text: str) -> TextReading:
        """Ranks the topics of a text and gives the level of the best one.

        Cites: JR/T 0197-2020 附录A (levels of the categories; 待核对).
        """
        matches = self._finder.find_matches_as_indexes(text.lower(), overlapping=True)
        found = Counter(word for word, _, _ in matches)
        scores: dict[int, float] = {}
        for word, times in found.items():
            # The second mention says less than the first.
            often = 1 + math.log(times)
            for index, weight in self._weights[word]:
                scores[index] = scores.get(index, 0.0) + weight * often
        if not scores:
            return TextReading((), 1)
        ranked = sorted(scores, key=lambda i: (-scores[i], i))
        total = sum(scores.values())
        best = tuple((self._topics[i].name, scores[i] / total) for i in ranked[:_SHOWN])
        return TextReading(best, self._topics[ranked[0]].level)


def _names(name: str) -> list[str]:
    """Returns the words of a category's own name: 单证入库信息 → 单证入库."""
    stem = name.partition("（")[0].removesuffix("信息").removesuffix("业务").strip()
    return [stem] if len(stem) >= 2 else []


def parse(text: str) -> tuple[Topic, ...]:
    """Reads the pack's lines ``category | level | words``, telling words marked with ``!``."""
    topics: list[Topic] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, level, words = (part.strip() for part in line.split("|"))
        telling = tuple(w[1:] for w in words.split() if w.startswith("!"))
        usual = tuple(w for w in words.split() if not w.startswith("!"))
        topics.append(Topic(name, int(level), telling, usual))
    return tuple(topics)
