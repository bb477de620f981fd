"""Plain text and .docx as documents: one row a paragraph."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from pingyao.classify.model import Column, Table
from pingyao.classify.sources.encoding import open_text
from pingyao.classify.sources.excel import refuse_bombs
from pingyao.classify.sources.failures import failure
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.limits import rest

TEXT = "text"
_BATCH_ROWS = 4_096


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
        return rest(self._all(table, limit), after)

    def _all(self, table: Table, limit: int | None) -> Iterator[pa.RecordBatch]:
        del table
        held: list[str] = []
        for number, text in enumerate(self._paragraphs()):
            if limit is not None and number >= limit:
                break
            held.append(text)
            if len(held) == _BATCH_ROWS:
                yield pa.RecordBatch.from_arrays([pa.array(held, pa.string())], names=[TEXT])
                held = []
        if held:
            yield pa.RecordBatch.from_arrays([pa.array(held, pa.string())], names=[TEXT])

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of the file, which all its tables share."""
        del table
        return file_fingerprint(self._path)

    def close(self) -> None:
        """Nothing is held open."""

    def _paragraphs(self) -> Iterator[str]:
        if self.kind == "text":
            with open_text(self._path) as lines:
                yield from (line.rstrip("\r\n") for line in lines if line.strip())
            return
        from docx import Document
        from docx.opc.exceptions import OpcError

        try:
            document = Document(str(self._path))
        except (OpcError, zipfile.BadZipFile, KeyError, ValueError, OSError, SyntaxError):
            raise failure("scan.damaged", self.name) from None
        yield from (p.text for p in document.paragraphs if p.text.strip())
        for table in document.tables:
            for row in table.rows:
                text = " ".join(dict.fromkeys(c.text.strip() for c in row.cells if c.text.strip()))
                if text:
                    yield text


def open_document(path: Path) -> DocumentSource:
    """Opens a text file or a .docx document."""
    return DocumentSource(path)
