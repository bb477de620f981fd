"""Names and CREATE statements of SQLite: how to write the former, what the latter say."""

import re

from pingyao.classify.model import Column


def quoted(name: str) -> str:
    """Returns a name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def declared_text(column: Column) -> bool:
    """Tells whether a column is declared as text: so it comes, whatever it holds."""
    return bool(re.search("char|clob|text", column.declared_type, re.IGNORECASE))


def comments(statement: str, columns: set[str]) -> dict[str, str]:
    """Returns what is said about columns, and under ``""`` about the table.

    Only the plain manner is understood: one column a line, its comment at the end of the line.
    """
    said: dict[str, str] = {}
    for line in statement.splitlines():
        found = re.search(r"(?:--\s*(.*?)|/\*\s*(.*?)\s*\*/)\s*$", line)
        if not found:
            continue
        comment = (found[1] or found[2] or "").strip()
        code = line[: found.start()].strip().lstrip(",(").strip()
        name = re.match(r'"((?:[^"]|"")+)"|`([^`]+)`|\[([^\]]+)\]|([^\s,(]+)', code)
        if re.match(r"create\s", code, re.IGNORECASE) and code.count("(") <= 1:
            said[""] = comment
        elif name:
            column = next(filter(None, name.groups()), "").replace('""', '"')
            if column in columns:
                said.setdefault(column, comment)
    return said
