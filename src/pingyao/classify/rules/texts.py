"""What a text is about, in the categories of JR/T 0197, by the words such texts use."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import ahocorasick_rs
import msgspec

from pingyao.classify.model import Evidence


class Topic(msgspec.Struct, frozen=True):
    """A category of text: its place in the tree and its words, the telling ones apart."""

    name: str
    leaf: str
    telling: tuple[str, ...]
    usual: tuple[str, ...] = ()


class Ranked(NamedTuple):
    """A topic of a text with its share of belief, 0–1."""

    topic: Topic
    share: float


_NAME_WEIGHT = 2.2
_USUAL_WEIGHT = 0.25
_SHOWN = 5
# So far ahead of the second, the first topic is right in six texts of seven (docs/accuracy.md).
_ASSERTED_AHEAD = 0.10
DOCUMENT = "free_text_remark"
UNSURE = frozenset({"text.topic_unsure", "text.no_topic"})


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

    def count(self, text: str) -> Counter[int]:
        """Counts the words of the topics in a piece of text; counts of pieces add up."""
        matches = self._finder.find_matches_as_indexes(text.lower(), overlapping=True)
        return Counter(word for word, _, _ in matches)

    def rank(self, found: Counter[int]) -> tuple[Ranked, ...]:
        """Ranks the topics that a text's words speak for, best first, at most five."""
        scores: dict[int, float] = {}
        for word, times in found.items():
            # The second mention says less than the first.
            often = 1 + math.log(times)
            for index, weight in self._weights[word]:
                scores[index] = scores.get(index, 0.0) + weight * often
        total = sum(scores.values())
        ranked = sorted(scores, key=lambda i: (-scores[i], i))[:_SHOWN]
        return tuple(Ranked(self._topics[i], scores[i] / total) for i in ranked)


def weigh(ranked: Sequence[Ranked]) -> tuple[Evidence, ...]:
    """Returns what a document is about, surer the further the first topic is ahead."""
    if not ranked:
        return (Evidence("text", DOCUMENT, 0.5, "text.no_topic"),)
    ahead = ranked[0].share - (ranked[1].share if len(ranked) > 1 else 0.0)
    sure = ahead >= _ASSERTED_AHEAD
    return (
        Evidence(
            "text",
            DOCUMENT,
            4.0 if sure else 0.5,
            "text.topic" if sure else "text.topic_unsure",
            {
                "leaf": ranked[0].topic.leaf,
                "topic": ranked[0].topic.name,
                "share": round(ranked[0].share, 3),
                "others": "、".join(r.topic.name for r in ranked[1:3]),
            },
        ),
    )


def _names(name: str) -> list[str]:
    """Returns the words of a category's own name: 单证入库信息 → 单证入库."""
    stem = name.partition("（")[0].removesuffix("信息").removesuffix("业务").strip()
    return [stem] if len(stem) >= 2 else []


def parse(text: str) -> tuple[Topic, ...]:
    """Reads the pack's lines ``category | path | words``, telling words marked with ``!``."""
    topics: list[Topic] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, leaf, words = (part.strip() for part in line.split("|"))
        telling = tuple(w[1:] for w in words.split() if w.startswith("!"))
        usual = tuple(w for w in words.split() if not w.startswith("!"))
        topics.append(Topic(name, leaf, telling, usual))
    return tuple(topics)
