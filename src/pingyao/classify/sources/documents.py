"""Plain text and .docx as documents: one row a paragraph."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from pingyao.classify.model import Column, Table
from pingyao.classify.sources.csv import limited
from pingyao.classify.sources.excel import refuse_bombs
from pingyao.classify.sources.failures import failure
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.limits import bounded, rest
from pingyao.classify.sources.lines import line_blocks

TEXT = "text"
_LINE_FEED, _RETURN = 10, 13
# Its functions are made at run time and have no types.
_compute: Any = compute


class DocumentSource:
    """One document, read as the one column ``text``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.name
        self.kind = "docx" if path.suffix.lower() == ".docx" else "text"
        if self.kind == "docx":
            refuse_bombs(path)

    def tables(self) -> Iterator[Table]:
        """Yields the document."""
        yield Table("", self.name, kind="document", columns=(Column(TEXT),))

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields its paragraphs, of a .docx those in the cells of its tables as well."""
        del table
        return rest(limited(bounded(self._texts()), limit), after)

    def _texts(self) -> Iterator[pa.RecordBatch]:
        for texts in self._lines() if self.kind == "text" else self._paragraphs():
            yield pa.RecordBatch.from_arrays([texts], names=[TEXT])

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of the file, which all its tables share."""
        del table
        return file_fingerprint(self._path)

    def close(self) -> None:
        """Nothing is held open."""

    def _lines(self) -> Iterator[pa.Array]:
        yield from map(lines, line_blocks(self._path))

    def _paragraphs(self) -> Iterator[pa.Array]:
        from docx import Document
        from docx.opc.exceptions import OpcError

        try:
            document = Document(str(self._path))
        except (OpcError, zipfile.BadZipFile, KeyError, ValueError, OSError, SyntaxError):
            raise failure("scan.damaged", self.name) from None
        yield pa.array([p.text for p in document.paragraphs if p.text.strip()], pa.string())
        for table in document.tables:
            rows = (dict.fromkeys(c.text.strip() for c in row.cells) for row in table.rows)
            texts = (" ".join(filter(None, cells)) for cells in rows)
            yield pa.array([text for text in texts if text], pa.string())


def lines(text: bytes) -> pa.Array:
    """Returns the lines of a text that hold anything, without what ends them.

    Args:
        text: UTF-8, ending with a line break.
    """
    letters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((letters == _LINE_FEED) | (letters == _RETURN)) + 1
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    found = _compute.utf8_rtrim(
        pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers), "\r\n"
    )
    return found.filter(_compute.not_equal(_compute.utf8_trim_whitespace(found), ""))


def open_document(path: Path) -> DocumentSource:
    """Opens a text file or a .docx document."""
    return DocumentSource(path)
