"""From what a column is to its place in the JR/T 0197 tree: the first rule that fits."""

import msgspec

from pingyao.classify.rules.metadata import Context, Reading


class LeafRule(msgspec.Struct, frozen=True):
    """One row of the pack: every condition given must hold; ``leaf`` empty means bookkeeping.

    Attributes:
        type: data type ids or families.
        col: entities of which the column speaks of one.
        not_col: entities it must not speak of.
        col_state: uses or states of which the column speaks of one.
        col_only_bookkeeping: the column speaks of nothing but record keeping.
        table: themes or entities of which the table has one.
        not_table: themes or entities the table must not have.
        head: what its name ends in.
    """

    leaf: str
    type: frozenset[str] = frozenset()
    subject: frozenset[str] = frozenset()
    col: frozenset[str] = frozenset()
    not_col: frozenset[str] = frozenset()
    col_state: frozenset[str] = frozenset()
    col_only_bookkeeping: bool = False
    table: frozenset[str] = frozenset()
    not_table: frozenset[str] = frozenset()
    head: frozenset[str] = frozenset()


class LeafPack(msgspec.Struct, frozen=True):
    """The ordered leaf rules."""

    pack: str
    version: str
    rules: tuple[LeafRule, ...]


def place(type_: str, family: str, reading: Reading, context: Context, pack: LeafPack) -> str:
    """Returns the JR/T 0197 path of a column, empty for mere bookkeeping.

    Cites: JR/T 0197-2020 附录A (the tree); the mapping is the product's own.
    """
    table = context.themes | context.entities
    only_bookkeeping = not reading.entities and "bookkeeping" in reading.states
    for rule in pack.rules:
        if (
            (not rule.type or type_ in rule.type or family in rule.type)
            and (not rule.subject or reading.subject in rule.subject)
            and (not rule.col or rule.col & reading.entities)
            and not rule.not_col & reading.entities
            and (not rule.col_state or rule.col_state & reading.states)
            and (not rule.col_only_bookkeeping or only_bookkeeping)
            and (not rule.table or rule.table & table)
            and not rule.not_table & table
            and (not rule.head or rule.head & reading.heads)
        ):
            return rule.leaf
    return ""
