"""Finds the one table a person means, and sees to it that the columns named are in it."""

from collections.abc import Sequence

from pingyao.kernel.errors import Invalid, NotFound
from pingyao.protect.model import Asset, Field, Place
from pingyao.protect.ports import Reading


def pick(reading: Reading, table: str, names: Sequence[str]) -> Asset:
    """Returns the table with all its columns.

    Args:
        table: its name, ``schema/name``, or empty when the source has only one.
        names: columns that must be there, none twice.

    Raises:
        NotFound: there is no such table, more than one, or no such column.
        Invalid: a column is named twice.
    """
    there = [(s, t, c) for s, t, c in reading.columns() if table in ("", t, f"{s}/{t}")]
    if len(there) != 1:
        raise NotFound(
            "protect.which_table",
            f"要处理的表有 {len(there):,} 张",
            "请以 --table 指明其中一张（必要时写成 库或文件/表）",
        )
    schema, name, known = there[0]
    missing = [n for n in names if n not in known]
    if missing:
        raise NotFound(
            "protect.no_such_column",
            f"表 {name[:80]} 没有列 {'、'.join(m[:40] for m in missing)}",
            "现有的列：" + "、".join(n[:40] for n in known[:30]),
        )
    if len(set(names)) != len(names):
        raise Invalid("protect.bad_option", "同一列给出了两次", "请逐列指明，不要重复")
    return Asset(schema, name, tuple(Field(Place(schema, name, n), "other", 1, 0) for n in known))
