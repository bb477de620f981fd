"""A SQL DDL dump as a source: names, types and comments of MySQL, Oracle, PostgreSQL and Dameng."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from pingyao.classify.model import Column, Table, Unread
from pingyao.classify.sources.encoding import open_text

_LONGEST_STATEMENT = 4 * 1024 * 1024
_STARTS = re.compile(
    r"(?is)^\s*(create\s+(?:(?:global|local|temp\w*|unlogged|foreign|external|huge)\s+)*table"
    r"|comment\s+on)\b"
)
_SKIPPED = re.compile(
    r"(?i)^\s*(insert|replace|copy|lock|unlock|set|drop|use|begin|commit|start|grant|select)\b"
)
_TOKEN = re.compile(
    r"""--[^\n]*|\#[^\n]*|/\*.*?\*/|'(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]"""
    r"""|[A-Za-z_$\u0080-\uffff][\w$\u0080-\uffff\#]*|\d+|[(),.;=]|[^\s]""",
    re.S,
)
_NOT_COLUMNS = frozenset(
    [
        "primary",
        "key",
        "unique",
        "index",
        "constraint",
        "foreign",
        "check",
        "fulltext",
        "spatial",
        "exclude",
        "like",
        "partition",
        "period",
        "supplemental",
        "not",
        "cluster",
    ]
)
_AFTER_TYPE = frozenset(
    [
        "not",
        "null",
        "default",
        "comment",
        "primary",
        "unique",
        "check",
        "references",
        "auto_increment",
        "collate",
        "generated",
        "identity",
        "on",
        "constraint",
        "key",
        "encode",
        "enable",
        "disable",
        "visible",
        "invisible",
        "as",
        "storage",
    ]
)
_TYPE_WORDS = frozenset(
    [
        "unsigned",
        "zerofill",
        "varying",
        "precision",
        "with",
        "without",
        "local",
        "time",
        "zone",
        "timestamp",
        "character",
        "char",
        "national",
        "large",
        "object",
        "binary",
        "varchar",
        "byte",
        "double",
        "set",
        "charset",
        "enum",
        "long",
        "raw",
    ]
)


class DdlSource:
    """The tables a dump creates; there are no rows in it that could be read."""

    kind = "ddl"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.name

    def tables(self) -> Iterator[Table | Unread]:
        """Yields the tables in the order of the dump, with comments given anywhere in it."""
        tables: dict[str, Table] = {}
        comments: list[tuple[str, ...]] = []
        failed: list[Unread] = []
        for line, statement in statements(self._path):
            tokens = _tokens(statement)
            words = [t.lower() for t in tokens[:3]]
            if words[:2] == ["comment", "on"]:
                comments.append(tuple(tokens))
                continue
            table = _create(tokens)
            if isinstance(table, Table):
                tables[f"{table.schema}.{table.name}".lower()] = table
            else:
                failed.append(
                    Unread(
                        f"{self.name}:{line}",
                        "ddl.unreadable_statement",
                        table,
                        "请改用逐列写明的建表语句，或直接连接数据库扫描",
                    )
                )
        for tokens in comments:
            _comment(list(tokens), tables)
        yield from tables.values()
        yield from failed

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields nothing: a dump is read for its metadata only."""
        del table, limit, after
        return iter(())

    def close(self) -> None:
        """Nothing is held open."""


def statements(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the line number and text of each CREATE TABLE and COMMENT ON statement.

    Rows (INSERT, COPY) are passed over line by line and never kept, so a dump of any size is read
    in bounded memory.
    """
    buffer: list[str] = []
    size = started = 0
    copying = skipping = False
    quote = ""
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if copying:
                copying = not line.startswith("\\.")
                continue
            if not buffer and not skipping:
                if _SKIPPED.match(line):
                    copying = bool(re.match(r"(?i)\s*copy\b.*\bfrom\s+stdin", line))
                    skipping = not copying
                elif not _STARTS.match(line) and not re.match(r"(?i)\s*(create|comment)\s*$", line):
                    continue
                else:
                    started = number
            ended, quote = _ends(line, quote)
            if skipping:
                skipping = not ended
                continue
            if not copying:
                buffer.append(line)
                size += len(line)
            if ended or line.strip() == "/" or size > _LONGEST_STATEMENT:
                text, buffer, size, quote = "".join(buffer), [], 0, ""
                if _STARTS.match(text):
                    yield started, text
    if buffer and _STARTS.match("".join(buffer)):
        yield started, "".join(buffer)


def _ends(line: str, quote: str) -> tuple[bool, str]:
    """Tells whether a statement ends on this line, given the quote that is open at its start."""
    i, n = 0, len(line)
    while i < n:
        c = line[i]
        if quote:
            if c == "\\" and quote == "'":
                i += 1
            elif c == quote:
                quote = ""
        elif c in "'\"`":
            quote = c
        elif c == "-" and line.startswith("--", i):
            return False, quote
        elif c == ";":
            return True, ""
        i += 1
    return False, quote


def read_create(statement: str) -> Table | str:
    """Reads one CREATE TABLE statement; returns the reason as text when it has no columns."""
    tokens = _tokens(statement)
    if "table" not in (t.lower() for t in tokens[:6]):
        return "不是建表语句"
    return _create(tokens)


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _name(token: str) -> str:
    if token[:1] in '"`[' and len(token) > 1:
        return token[1:-1].replace(token[0] * 2, token[0])
    return token


def _text(token: str) -> str:
    body = token[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), body)


def _remark(token: str) -> bool:
    return token.startswith(("--", "/*", "#"))


def _create(tokens: list[str]) -> Table | str:
    """Reads a CREATE TABLE; returns why not when it has no list of columns."""
    words = [t for t in tokens if not _remark(t)]
    at = next(i for i, t in enumerate(words) if t.lower() == "table") + 1
    if [t.lower() for t in words[at : at + 3]] == ["if", "not", "exists"]:
        at += 3
    parts = [_name(words[at])] if at < len(words) else []
    at += 1
    while at + 1 < len(words) and words[at] == ".":
        parts.append(_name(words[at + 1]))
        at += 2
    if not parts:
        return "建表语句没有表名"
    if at >= len(words) or words[at] != "(":
        return f"表 {parts[-1]} 的建表语句没有逐列写明（LIKE 或 AS SELECT）"
    opened = _nth_open(tokens)
    items, after = _items(tokens, opened)
    columns = tuple(c for c in map(_column, items) if c is not None)
    if not columns:
        return f"表 {parts[-1]} 的建表语句里没有读到列"
    return Table(
        schema=parts[-2] if len(parts) > 1 else "",
        name=parts[-1],
        comment=_inline(tokens[after:]),
        columns=columns,
    )


def _nth_open(tokens: list[str]) -> int:
    return next(i for i, t in enumerate(tokens) if t == "(") + 1


def _items(tokens: list[str], at: int) -> tuple[list[list[str]], int]:
    """Splits the column list at its outermost commas; a remark after a comma stays with its column."""
    items: list[list[str]] = [[]]
    depth = 1
    while at < len(tokens):
        token = tokens[at]
        depth += (token == "(") - (token == ")")
        if depth == 0:
            return items, at + 1
        if token == "," and depth == 1:
            items.append([])
        elif _remark(token) and not items[-1] and len(items) > 1:
            items[-2].append(token)
        else:
            items[-1].append(token)
        at += 1
    return items, at


def _column(item: list[str]) -> Column | None:
    remarks = [t for t in item if _remark(t)]
    words = [t for t in item if not _remark(t)]
    if len(words) < 2 or (words[0].lower() in _NOT_COLUMNS and words[0][0] not in '"`['):
        return None
    kind: list[str] = [words[1]]
    at, depth = 2, 0
    while at < len(words):
        word = words[at]
        depth += (word == "(") - (word == ")")
        if depth == 0 and word not in "()." and word.lower() not in _TYPE_WORDS:
            break
        if depth == 0 and word.lower() in _AFTER_TYPE:
            break
        kind.append(word)
        at += 1
    declared = re.sub(r"\s*([(,.])\s*|\s*(\))", r"\1\2", " ".join(kind))
    comment = _inline(words) or _said(remarks)
    return Column(_name(words[0]), declared, comment)


def _inline(words: list[str]) -> str:
    for i, word in enumerate(words[:-1]):
        if word.lower() == "comment":
            value = words[i + 2] if words[i + 1] == "=" and i + 2 < len(words) else words[i + 1]
            if value[:1] == "'":
                return _text(value)
    return ""


def _said(remarks: list[str]) -> str:
    texts = [re.sub(r"^(--|#|/\*+)|\*+/$", "", r).strip() for r in remarks]
    return next((t for t in texts if t), "")


def _comment(tokens: list[str], tables: dict[str, Table]) -> None:
    """Applies ``COMMENT ON TABLE|COLUMN a.b.c IS '…'`` to the table it names."""
    words = [t for t in tokens if not _remark(t)]
    text = next((_text(w) for w in words[-3:] if w[:1] == "'"), "")
    what = words[2].lower() if len(words) > 2 else ""
    path = [_name(w) for w in words[3 : _index(words, "is")] if w != "."]
    if not text or not path:
        return
    column = path.pop() if what == "column" and len(path) > 1 else ""
    key = _key(path, tables)
    if key is None:
        return
    table = tables[key]
    if what == "table":
        tables[key] = Table(table.schema, table.name, text, table.kind, table.columns)
    elif column:
        columns = tuple(
            Column(c.name, c.declared_type, text) if c.name.lower() == column.lower() else c
            for c in table.columns
        )
        tables[key] = Table(table.schema, table.name, table.comment, table.kind, columns)


def _index(words: list[str], word: str) -> int:
    return next((i for i, w in enumerate(words) if w.lower() == word), len(words))


def _key(path: list[str], tables: dict[str, Table]) -> str | None:
    exact = ".".join(["", *path][-2:]).lower()
    if exact in tables:
        return exact
    last = f".{path[-1]}".lower()
    return next((k for k in tables if k.endswith(last)), None)


def open_ddl(path: Path) -> DdlSource:
    """Opens a DDL dump."""
    return DdlSource(path)
