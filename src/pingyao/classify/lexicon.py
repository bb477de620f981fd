"""Reads the vocabulary of field names from its data file, once."""

from functools import cache
from importlib.resources import files
from itertools import combinations

from pingyao.classify.rules.phrase import Lexicon, Term, segment, skeleton

_FILE = "lexicon.txt"
# States that may lower a level: two letters (pb 屏蔽, gk 公开) are too little to say so.
_LOWERING = frozenset({"masked", "hashed", "public"})


@cache
def load_lexicon() -> Lexicon:
    """Returns the shipped vocabulary with the pinyin of every Chinese form."""
    text = files("pingyao.classify.data").joinpath(_FILE).read_text("utf-8")
    return parse(text)


def parse(text: str) -> Lexicon:
    """Builds a lexicon from the lines ``中文词形 | English forms | tags``.

    A form keeps the first term that names it, so the order of the file is its precedence. Lines
    starting with ``=`` list whole phrases whose pinyin initials, or the spelling after a ``/``, go
    before anything put together.
    """
    from pypinyin import Style, lazy_pinyin

    chinese: dict[str, Term] = {}
    english: dict[str, Term] = {}
    initials: dict[str, tuple[Term, ...]] = {}
    spelled: dict[str, Term] = {}
    whole: list[str] = []
    version = ""
    for line in text.splitlines():
        if line.startswith("# version:"):
            version = line.partition(":")[2].strip()
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("="):
            whole += line[1:].split()
            continue
        forms, abbreviations, tags = (part.split() for part in line.split("|"))
        term = _term(forms[0], tags)
        for form in forms:
            if form.isascii():
                english.setdefault(form.lower(), term)
                continue
            chinese.setdefault(form.lower(), term)
            if len(form) >= 2 and not any(c.isascii() for c in form):
                syllables = lazy_pinyin(form, style=Style.NORMAL)
                if len(form) > 2 or term.state not in _LOWERING:
                    initials.setdefault("".join(s[0] for s in syllables), (term,))
                spelled.setdefault("".join(syllables), term)
        for form in abbreviations:
            english.setdefault(form.replace("_", "").lower(), term)
    longest = max(map(len, chinese))
    usual: dict[str, tuple[Term, ...]] = {}
    several: set[str] = set()
    for entry in whole:
        form, _, key = entry.partition("/")
        terms, _ = segment(form, chinese, longest)
        key = key or "".join(s[0] for s in lazy_pinyin(form, style=Style.NORMAL))
        if usual.setdefault(key, tuple(terms)) != tuple(terms):
            several.add(key)  # bz is 币种, 备注 and 标志
    initials |= usual
    return Lexicon(
        version=version,
        chinese=chinese,
        english=english,
        initials=initials,
        usual=frozenset(usual.keys() - several),
        spelled=spelled,
        longest=longest,
        cut=_cut(english),
        typos=_deletions(english),
    )


def _term(name: str, tags: list[str]) -> Term:
    by_kind: dict[str, list[str]] = {}
    for tag in tags:
        kind, _, value = tag.partition(":")
        by_kind.setdefault(kind, []).append(value)
    one = {kind: (values[0] if values else "") for kind, values in by_kind.items()}
    return Term(
        name=name,
        head=one.get("h", ""),
        type=one.get("y", ""),
        entities=frozenset(by_kind.get("e", ())),
        subject=one.get("s", ""),
        themes=frozenset(by_kind.get("t", ())),
        state=one.get("x", ""),
    )


def _cut(english: dict[str, Term]) -> dict[str, Term | None]:
    """What long words are cut down to: their consonants, with up to two left out again."""
    result: dict[str, Term | None] = {}
    for form, term in english.items():
        bones = skeleton(form)
        if not 5 <= len(form) <= 14 or not form.isalpha() or len(bones) < 3:
            continue
        inner = range(1, len(bones))
        for left_out in range(min(2, (len(bones) - 2) // 2) + 1):
            for places in combinations(inner, left_out):
                key = "".join(c for i, c in enumerate(bones) if i not in places)
                if len(key) >= 3 and result.setdefault(key, term) is not term:
                    # The word that loses fewer letters is meant, as long as it is one word.
                    result[key] = None if left_out else term
    return result


def _deletions(english: dict[str, Term]) -> dict[str, Term]:
    """Every long form with one letter left out: two words one typo apart share such a key."""
    result: dict[str, Term] = {}
    for form, term in english.items():
        if len(form) >= 6 and form.isalpha():
            for i in range(len(form)):
                result.setdefault(form[:i] + form[i + 1 :], term)
    return result
