"""Text as SQLite holds it: it calls it UTF-8, and never looks."""

import pyarrow as pa

from pingyao.classify.sources.relational import decoded


def as_utf8(held: pa.Array) -> pa.Array:
    """Returns text that may be no UTF-8 as UTF-8: what is not is read as GB18030, cell by cell.

    Of a cell that is neither, the unreadable becomes U+FFFD.
    """
    try:
        held.validate(full=True)
    except pa.ArrowInvalid:
        cells = held.view(pa.binary()).to_pylist()
        return pa.array((None if v is None else decoded(v) for v in cells), pa.string())
    return held
