"""Everything a scan has to know, read from the packs once."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from pingyao.classify.lexicon import load_lexicon
from pingyao.classify.model import PackRef
from pingyao.classify.packs import load_book
from pingyao.classify.rules.fuse import DataType, Vocabulary
from pingyao.classify.rules.grade import RuleBook
from pingyao.classify.rules.grammar import Grammar
from pingyao.classify.rules.leaf import LeafPack
from pingyao.classify.rules.memory import Memory, Recall
from pingyao.classify.rules.phrase import Lexicon
from pingyao.classify.rules.texts import Reader, parse


class TypesPack(msgspec.Struct, frozen=True):
    """The vocabulary of data types."""

    pack: str
    version: str
    types: tuple[DataType, ...]


class Knowledge(msgspec.Struct, frozen=True):
    """The packs in force: vocabulary, grammar, data types, leaf rules, texts, the rule book, and memory."""

    lexicon: Lexicon
    grammar: Grammar
    types: Vocabulary
    leaves: LeafPack
    topics: Reader
    book: RuleBook
    packs: tuple[PackRef, ...]
    recall: Recall | None = None

    def family(self, type_: str) -> str:
        """Returns the coarse type a type is counted under."""
        return self.types[type_].family or type_


def with_memory(knowledge: Knowledge, memory: Memory) -> Knowledge:
    """Returns the knowledge with an institution's memory in force, named among the packs."""
    packs = (*knowledge.packs, PackRef("memory", memory.version))
    return msgspec.structs.replace(knowledge, recall=Recall(memory), packs=packs)


def load_knowledge(overlays: Sequence[Path] = ()) -> Knowledge:
    """Reads the shipped packs and the institution's own on top of them.

    Raises:
        Invalid: an overlay is not a valid pack; says where and how to mend it.
    """
    types, grammar, leaves = _shipped()
    lexicon = load_lexicon()
    book = load_book(overlays)
    own = (
        PackRef("lexicon", lexicon.version),
        PackRef(grammar.pack, grammar.version),
        PackRef(types.pack, types.version),
        PackRef(leaves.pack, leaves.version),
    )
    return Knowledge(
        lexicon=lexicon,
        grammar=grammar,
        types=Vocabulary((t.id, t) for t in types.types),
        leaves=leaves,
        topics=_topics(),
        book=book,
        packs=(*own, *book.packs),
    )


@cache
def _shipped() -> tuple[TypesPack, Grammar, LeafPack]:
    data = files("pingyao.classify.data")
    return (
        msgspec.json.decode(data.joinpath("types.json").read_bytes(), type=TypesPack),
        msgspec.json.decode(data.joinpath("compose.json").read_bytes(), type=Grammar),
        msgspec.json.decode(data.joinpath("leaves.json").read_bytes(), type=LeafPack),
    )


@cache
def _topics() -> Reader:
    text = files("pingyao.classify.data").joinpath("texts.txt").read_text("utf-8")
    return Reader(parse(text))
