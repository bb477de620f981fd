"""The rules by which words make data types, as a data pack holds them."""

import msgspec


class Absorb(msgspec.Struct, frozen=True):
    """Types that keep their meaning when one of these heads follows: 手机 + 号码."""

    head: frozenset[str]
    types: frozenset[str]


class Compose(msgspec.Struct, frozen=True):
    """A head and what it belongs to make a type: 合同 + 编号.

    Attributes:
        near: entities of the nearest term before the head.
        col: entities of which one must stand anywhere in the phrase as well.
        subject: subjects it is limited to.
        table: themes of which the table must have one.
    """

    head: frozenset[str]
    near: frozenset[str]
    type: str
    col: frozenset[str] = frozenset()
    subject: frozenset[str] = frozenset()
    table: frozenset[str] = frozenset()


class Recast(msgspec.Struct, frozen=True):
    """A type that is another one in company: a staff member's name is no customer's.

    Attributes:
        subject: subjects it is limited to.
        col: entities of which one must stand in the phrase.
    """

    type: frozenset[str]
    to: str
    subject: frozenset[str] = frozenset()
    col: frozenset[str] = frozenset()


class FromTable(msgspec.Struct, frozen=True):
    """A head with nothing before it takes its type from the table's theme; how sure, 0–1."""

    head: frozenset[str]
    themes: frozenset[str]
    type: str
    sure: float = 0.7


class Grammar(msgspec.Struct, frozen=True):
    """The rules by which terms make types; a data pack."""

    pack: str
    version: str
    heads: dict[str, str]
    absorb: tuple[Absorb, ...]
    compose: tuple[Compose, ...]
    table: tuple[FromTable, ...]
    recast: tuple[Recast, ...]
    bare: dict[str, str]
