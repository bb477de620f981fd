"""What names, comments and declared types say of a column, before any value is read."""

import re
from collections.abc import Sequence

import msgspec

from pingyao.classify.model import Column, Evidence, Subject, Table
from pingyao.classify.rules.grammar import Grammar
from pingyao.classify.rules.phrase import (
    Lexicon,
    Phrase,
    Term,
    read_comment,
    read_name,
    speaks_pinyin,
)


class Context(msgspec.Struct, frozen=True):
    """What a table is about.

    Attributes:
        entities: what its name and comment speak of.
    """

    themes: frozenset[str] = frozenset()
    entities: frozenset[str] = frozenset()
    subject: Subject = "none"
    pinyin: bool = False


class Reading(msgspec.Struct, frozen=True):
    """What the metadata says of one column.

    Attributes:
        entities: what its name and comment speak of.
        states: uses and states heard, e.g. ``masked``.
        subject: whose data it is.
    """

    evidence: tuple[Evidence, ...]
    subject: Subject
    entities: frozenset[str]
    states: frozenset[str]
    heads: frozenset[str]


_NEUTRAL = frozenset({"unit", "masked", "hashed", "old", "public", "period", "link"})
_SYSTEM_THEMES = frozenset({"log", "dict", "permission", "config", "system", "sms", "notice"})
_COMPANY_THEMES = frozenset({"merchant", "partner", "fund", "bill", "amc", "finance", "regulatory"})
_PERSON_ENTITIES = frozenset({"person", "user", "relative"})
_ELSEWHERE = frozenset({"company", "own_org"})
# Said alone, these mean the one who or which it is: 授权柜员, 开户机构.
_PLAIN = frozenset({"staff", "branch", "limit", "overdue", "account", "card", "receipt"})
# Where the table is silent these are held to be a customer's who is a person.
_OWNED_BY_PERSONS = frozenset(
    {
        "id_card_no",
        "person_name",
        "mobile",
        "bank_card_no",
        "birth_date",
        "customer_no",
        "account_no",
    }
)
# Of whomever a table speaks, these are natural persons' own; of staff they are the staff's.
_ALWAYS_PERSONS = frozenset({"id_card_no", "other_id_doc_no", "person_name", "mobile"})
_CONTACTS = frozenset({"mobile", "phone", "email", "address", "region_code", "ip"})
_PERSON_TYPES = frozenset(
    {"gender", "birth_date", "marital", "ethnicity_nationality", "id_card_no", "income_assets"}
)
_COMPANY_ENTITIES = frozenset({"profile", "finstat", "license", "management"})
_SUBJECTS: dict[str, Subject] = {
    "person": "person",
    "organisation": "organisation",
    "staff": "staff",
    "system": "system",
}

# An item's code in the second-generation credit report: P of persons, E of enterprises; unit; kind.
_REPORT_ITEM = re.compile(r"(?i)([PE])[A-Z]\d\d[0A-Z]([DIJQRS])\d\d")
_ITEM_KINDS = {
    "D": (("status_flag_type_code", 2.5),),
    "J": (("amount_balance", 3.0), ("credit_or_loan_info", 2.0)),
    "R": (("date_time", 3.5), ("birth_date", 1.5)),
    "S": (("other", 2.0),),
}
_COMMA = re.compile(r"[,，、]")
_BOOLEAN = re.compile(r"(?i)^(bool|boolean|bit)\b")
_DATE = re.compile(r"(?i)^(date|datetime|timestamp|time|year|smalldatetime)\b")
_DECIMAL = re.compile(
    r"(?i)^(decimal|numeric|number|money|float|double|real|d)\s*\(?\d*[.,]\s*[1-9]"
)
_BLOB = re.compile(r"(?i)^(.*blob|bytea|raw|image|binary|varbinary)\b")
_LONG = re.compile(
    r"(?i)^(.*text|.*clob|longvarchar|.*char(acter)?2?( varying)?\s*\(\d{4,}(\s*char)?\))"
)
_SHORT = re.compile(r"(?i)^((var)?char(acter)?2?( varying)?\s*\([1-4]\)|tinyint|smallint|c[1-4]$)")


def read_context(table: Table, lexicon: Lexicon) -> Context:
    """Reads what a table is about from its name, its comment and the company its columns keep."""
    pinyin = speaks_pinyin([c.name for c in table.columns], lexicon)
    comment = read_comment(table.comment, lexicon)
    name = read_name(table.name, lexicon, prefer_pinyin=pinyin)
    terms = (*comment.terms, *name.terms)
    themes = frozenset(t for term in terms for t in term.themes)
    entities = frozenset(e for term in terms for e in term.entities)
    items = [m for c in table.columns if (m := _REPORT_ITEM.fullmatch(c.name))]
    if items and len(items) * 2 >= len(table.columns):
        person = items[0][1] in "Pp"
        themes |= {"creditreport", "natural"} if person else {"creditreport"}
        subject: Subject = "person" if person else "organisation"
        return Context(themes=themes, entities=entities, subject=subject, pinyin=pinyin)
    subject, natural = _table_subject(table, terms, themes, lexicon, pinyin)
    return Context(
        themes=themes | {"natural"} if natural else themes,
        entities=entities,
        subject=subject,
        pinyin=pinyin,
    )


def _table_subject(
    table: Table,
    terms: Sequence[Term],
    themes: frozenset[str],
    lexicon: Lexicon,
    pinyin: bool,
) -> tuple[Subject, bool]:
    """Tells whose data a table holds, and whether it describes natural persons."""
    said = {term.subject for term in terms if term.subject}
    attributes = person = organisation = 0
    for column in table.columns[:400]:
        for term in (
            *read_comment(column.comment, lexicon).terms,
            *read_name(column.name, lexicon, prefer_pinyin=pinyin).terms,
        ):
            attributes += term.type in _PERSON_TYPES
            person += bool(term.entities & _PERSON_ENTITIES)
            organisation += bool(term.entities & _COMPANY_ENTITIES)
    entities = {e for term in terms for e in term.entities}
    subject = _whose(said, themes, entities, attributes, person + attributes, organisation)
    return subject, subject == "person" and attributes >= 2


def _whose(
    said: set[str],
    themes: frozenset[str],
    entities: set[str],
    attributes: int,
    person: int,
    organisation: int,
) -> Subject:
    if "staff" in said or "staff" in themes:
        return "staff"
    if "person" in said and "organisation" not in said:
        return "person"
    if "organisation" in said:
        return "organisation"
    if (
        themes & _SYSTEM_THEMES
        and "service" not in themes
        and "branch" not in entities
        and attributes < 2
    ):
        return "system"
    if themes & {"product", "marketing", "cms"} and person < 2 and "transaction" not in themes:
        return "none"
    if "customer" in themes:
        return "organisation" if organisation > person + 1 else "person"
    if "branch" in entities or themes & _COMPANY_THEMES or organisation > person:
        return "organisation"
    # Where nothing tells persons from firms, the stricter reading holds until somebody decides.
    return "person" if themes or person else "none"


def read_columns(
    table: Table, context: Context, lexicon: Lexicon, grammar: Grammar
) -> tuple[Reading, ...]:
    """Reads every column of a table, one `Reading` each."""
    return tuple(_read(column, context, lexicon, grammar) for column in table.columns)


def _read(column: Column, context: Context, lexicon: Lexicon, grammar: Grammar) -> Reading:
    comment = _acting(_telling(column.comment, context, lexicon, grammar), lexicon)
    name = _acting(read_name(column.name, lexicon, prefer_pinyin=context.pinyin), lexicon)
    explained = comment.quality >= 0.5
    main = comment if explained else name
    # What a name may mean by guess is no use or state of a column whose comment is clear.
    terms = comment.terms if explained and name.quality < 0.9 else (*comment.terms, *name.terms)
    subject = _subject(main, context)
    evidence = [*_item(column.name, context)]
    clear = explained and compose(comment, subject, context, grammar)[1] >= 0.9
    # A name in Chinese says as much as a comment does; one in letters yields to a clear comment.
    named = 6.0 if not column.name.isascii() else 3.5 if clear else 5.3
    for origin, phrase, strength in (("comment", comment, 6.0), ("name", name, named)):
        if not phrase.terms:
            continue
        kind, sure, rule = compose(phrase, subject, context, grammar)
        if not kind:
            continue
        for recast in grammar.recast:
            if (
                kind in recast.type
                and (not recast.subject or subject in recast.subject)
                and (not recast.col or any(recast.col & t.entities for t in phrase.terms))
            ):
                kind = recast.to
        weight = strength * sure * phrase.quality
        evidence.append(
            Evidence(
                origin="comment" if origin == "comment" else "name",
                type=kind,
                weight=round(weight, 3),
                code=f"{origin}.{rule}",
                args={"terms": "·".join(t.name for t in phrase.terms)[:80]},
            )
        )
    if subject == "none" and any(e.type in _OWNED_BY_PERSONS for e in evidence):
        subject = "person"
    evidence += declared(column.declared_type)
    return Reading(
        evidence=tuple(evidence),
        subject=subject,
        entities=frozenset(e for term in terms for e in term.entities),
        states=frozenset(term.state for term in terms if term.state),
        heads=frozenset(term.head for term in main.terms[-1:] if term.head),
    )


def _item(name: str, context: Context) -> list[Evidence]:
    """Weighs the letter in an item's code of a credit report that says what kind it is."""
    item = _REPORT_ITEM.fullmatch(name)
    if item is None or "creditreport" not in context.themes:
        return []
    return [
        Evidence("name", type_, weight, "name.head", {"terms": name})
        for type_, weight in _ITEM_KINDS.get(item[2].upper(), ())
    ]


def _telling(comment: str, context: Context, lexicon: Lexicon, grammar: Grammar) -> Phrase:
    """Reads the first part of a comment, or the second where only that names something."""
    phrases = [read_comment(part, lexicon) for part in _COMMA.split(comment, maxsplit=1)]
    said = [compose(phrase, context.subject, context, grammar) for phrase in phrases]
    if len(said) == 2 and said[0][1] < 0.7 and said[1][2] in ("direct", "composed"):
        return phrases[1]
    return phrases[0]


def _acting(phrase: Phrase, lexicon: Lexicon) -> Phrase:
    """Takes a user who keeps records or grants for a member of staff: 复核用户, AUTH_USER_ID."""
    terms = list(phrase.terms)
    for i in range(1, len(terms)):
        before = terms[i - 1]
        acts = before.state == "bookkeeping" or "permission" in before.entities
        if acts and "user" in terms[i].entities and not terms[i].type:
            terms[i] = lexicon.chinese["操作员"]
    return msgspec.structs.replace(phrase, terms=tuple(terms))


def _subject(phrase: Phrase, context: Context) -> Subject:
    """The last term that names a subject decides; the table does where none does."""
    backwards = list(enumerate(reversed(phrase.terms)))
    # 操作员姓名: who it is outweighs that names are people's.
    for distance, term in (*((d, t) for d, t in backwards if not t.type), *backwards):
        if "counterparty" in term.entities:
            return "organisation" if context.subject != "person" else "person"
        if term.subject == "person" and context.subject == "staff":
            return "staff"
        if term.subject == "staff" and distance > 2:
            continue
        # A person's 单位 is where they work, the 机构 of their report where they owe.
        if "natural" in context.themes and term.entities & _ELSEWHERE:
            continue
        if term.subject:
            return _SUBJECTS[term.subject]
    # A secret of nobody known is held to be a customer's until somebody says otherwise.
    secret = {e for t in phrase.terms for e in t.entities if t.type}
    if context.subject == "none" and "secret" in secret and "syskey" not in secret:
        return "person"
    last = phrase.terms[-1:]
    if any(t.head == "info" for t in last) and any("user" in t.entities for t in phrase.terms):
        return "person"
    # A log that keeps an address to write to keeps somebody's address.
    if context.subject == "system" and any(t.type in _CONTACTS for t in phrase.terms[-2:]):
        return "person"
    return context.subject


def compose(
    phrase: Phrase, subject: Subject, context: Context, grammar: Grammar
) -> tuple[str, float, str]:
    """Composes the data type a phrase names.

    Returns:
        The type id (empty if the phrase names none), how sure 0–1, and the rule that told it:
        ``direct``, ``composed``, ``table``, ``head`` or ``bare``.
    """
    terms = [t for t in phrase.terms if t.state not in _NEUTRAL]
    if not terms:
        return "", 0.0, "none"
    if terms[0].head == "flag" and len(terms) > 1:
        return grammar.heads["flag"], 1.0, "head"
    last = terms[-1]
    if last.state == "event" and len(terms) > 1 and any(t.type or t.entities for t in terms[:-1]):
        return grammar.heads["flag"], 0.7, "head"
    body = [t for t in terms if t.head or t.state not in ("bookkeeping", "event")]
    if len(body) > 1 and body[-1].head == "date" and body[-2].head in ("validity", "expiry"):
        body = body[:-1]  # 有效期截止日 is the 有效期
    if not body:
        return ("date_time", 0.3, "bare") if last.state == "bookkeeping" else ("", 0.0, "none")
    last = body[-1]
    if last.type and last.head == "":
        return last.type, 1.0, "direct"
    if last.head:
        return _headed(body, last, subject, context, grammar)
    for entity, type_ in grammar.bare.items():
        if entity in last.entities:
            return type_, 0.9 if entity in _PLAIN else 0.65, "bare"
    return "", 0.0, "none"


def _headed(
    body: Sequence[Term], last: Term, subject: Subject, context: Context, grammar: Grammar
) -> tuple[str, float, str]:
    before = body[:-1]
    if before and before[-1].type:
        for rule in grammar.absorb:
            if last.head in rule.head and before[-1].type in rule.types:
                return before[-1].type, 1.0, "direct"
    everything = frozenset(e for t in body for e in t.entities)
    rules = [rule for rule in grammar.compose if last.head in rule.head]
    for term in (*reversed(before), last):
        for rule in rules:
            if (
                rule.near & term.entities
                and (not rule.col or rule.col & everything)
                and (not rule.subject or subject in rule.subject)
                and (not rule.table or rule.table & context.themes)
            ):
                return rule.type, 1.0, "composed"
    if last.type:
        return last.type, 1.0, "direct"
    for rule in grammar.table:
        if last.head in rule.head and rule.themes & context.themes:
            return rule.type, rule.sure, "table"
    sure = (
        0.9
        if last.head in ("date", "flag", "status", "kind", "count", "balance", "expiry", "ident")
        else 0.6
    )
    return grammar.heads[last.head], sure, "head"


def owner(subject: Subject, type_: str, family: str) -> Subject:
    """Returns whose data a column is once its type is known, from values as well."""
    if subject == "none" and type_ in _OWNED_BY_PERSONS:
        return "person"
    if subject in ("none", "organisation", "system") and {type_, family} & _ALWAYS_PERSONS:
        return "person"
    return subject


def declared(declared_type: str) -> list[Evidence]:
    """Weighs the source's own type name: a bit is a flag, a date a date, a blob no amount."""
    kind = declared_type.strip()
    rows: list[tuple[str, float]] = []
    if _BOOLEAN.match(kind):
        rows = [("status_flag_type_code", 3.0)]
    elif _DATE.match(kind):
        rows = [("date_time", 4.0), ("birth_date", 2.0), ("card_security", 2.0)]
    elif _BLOB.match(kind):
        rows = [("media_file", 1.5), ("biometric", 0.5), ("free_text_remark", 0.5)]
    elif _LONG.match(kind):
        rows = [("free_text_remark", 1.2), ("status_flag_type_code", -2.0)]
    elif _DECIMAL.match(kind):
        rows = [("amount_balance", 0.8), ("transaction_amount", 0.8), ("interest_rate", 0.3)]
    elif _SHORT.match(kind):
        rows = [("status_flag_type_code", 0.8)]
    return [
        Evidence("declared", type_, weight, "declared.type", {"declared": kind[:40]})
        for type_, weight in rows
    ]
