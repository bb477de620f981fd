"""Names and comments as sequences of known terms, in every style they are written in."""

import re
from functools import lru_cache

import msgspec


class Term(msgspec.Struct, frozen=True):
    """A word of the vocabulary.

    Attributes:
        name: its first Chinese form.
        head: what kind of thing it names when it ends a phrase, e.g. ``date``; empty if none.
        type: data type id it names by itself; empty if none.
        entities: what it makes the phrase be about.
        subject: whose data it speaks of; empty if it does not say.
        themes: business themes it belongs to.
        state: a use or state it speaks of, e.g. ``masked``; empty if none.
    """

    name: str
    head: str = ""
    type: str = ""
    entities: frozenset[str] = frozenset()
    subject: str = ""
    themes: frozenset[str] = frozenset()
    state: str = ""


class Lexicon(msgspec.Struct, frozen=True, eq=False):
    """The vocabulary, by form: Chinese, English, pinyin initials, full pinyin.

    It is itself alone, never compared by what it holds, so that what it reads can be remembered.

    Attributes:
        usual: initials of whole phrases that stand for nothing else in practice.
        cut: what English words are cut down to (`skeleton`); None where several are.
        typos: long English words with one letter left out.
    """

    version: str
    chinese: dict[str, Term]
    english: dict[str, Term]
    initials: dict[str, tuple[Term, ...]]
    usual: frozenset[str]
    spelled: dict[str, Term]
    cut: dict[str, Term | None]
    typos: dict[str, Term]
    longest: int


class Phrase(msgspec.Struct, frozen=True):
    """The terms of a name or comment in order, and how well they were understood.

    Attributes:
        quality: 0–1, the share of the text understood, less for guesses.
    """

    terms: tuple[Term, ...] = ()
    quality: float = 0.0


_LONGEST_NAME = 200
# Thousands of tables share most of their column names and comments.
_REMEMBERED = 50_000
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_RUNS = re.compile(r"[A-Za-z]+|[㐀-鿿]+")
_ENUMERATION = re.compile(
    r"[:：;；。（(\[【{]|[,，、]|\s\d|\d\s*[-=→.、]|-->|->|[-—]{2}"
    # what follows tells where values come from, not what the column is
    r"|(?<=[㐀-鿿])\s+(?=[A-Za-z0-9])|参数表|数据来源|来源于|取自|详见|参见|码表|枚举"
)
# What a single letter stands for at the end of pinyin initials (khh 客户号, jye 交易额).
_LAST_LETTER = {"h": "号", "m": "名", "e": "额", "l": "率", "r": "日"}
_CHANCE = re.compile("[\\u0080-\\u07ff\\ufffd]")
# Codes of items (PA01AI01, F0102) say nothing at all.
_CODED = re.compile(r"(?i)[a-z]{1,2}\d{2,3}(?:[a-z]{1,2}\d{2,3})*[a-z]?")
# Numbered names (xd_col16) say nothing but their prefix.
_NUMBERED = re.compile(r"(?i)(?:(?<=_)|^)(?:col|fld|field|column|attr|item|zd|f|c)_?\d+$")
_VOWELS = frozenset("aeiou")
_NOISE = frozenset({"的", "及", "和", "与", "或", "之", "该", "其", "所", "为"})


def head_of_comment(comment: str) -> str:
    """Returns the noun phrase a comment starts with, without value lists and explanations."""
    text = _mended(comment.strip()[:_LONGEST_NAME])
    parts = [p.strip() for p in _ENUMERATION.split(text) if p.strip()]
    return parts[0] if parts else ""


def _mended(text: str) -> str:
    """Undoes the commonest damage: UTF-8 that somebody read as GBK (``鏍囧織`` for 标志)."""
    if text.isascii():
        return text
    try:
        mended = text.encode("gb18030").decode("utf-8")
    except UnicodeError:
        return text
    # Characters of GBK may by chance be two-byte letters of UTF-8, 学位 ѧλ: nobody wrote those.
    return text if _CHANCE.search(mended) else mended


@lru_cache(_REMEMBERED)
def read_comment(comment: str, lexicon: Lexicon) -> Phrase:
    """Understands a column's or table's comment by its leading noun phrase."""
    return _read(head_of_comment(comment), lexicon, prefer_pinyin=False)


@lru_cache(_REMEMBERED)
def read_name(name: str, lexicon: Lexicon, *, prefer_pinyin: bool = False) -> Phrase:
    """Understands a column's or table's name in any of the usual styles."""
    return _read(stem(name), lexicon, prefer_pinyin=prefer_pinyin)


def stem(name: str) -> str:
    """Returns a name without a number that stands for a word: ``xd_col16`` → ``xd_``."""
    if _CODED.fullmatch(name):
        return ""
    return _NUMBERED.sub("", name[:_LONGEST_NAME])


def speaks_pinyin(names: list[str], lexicon: Lexicon) -> bool:
    """Tells whether most of the words of these names are pinyin initials rather than English."""
    english = pinyin = 0
    for name in names[:500]:
        for word in _words(name):
            if word.isascii():
                if len(word) > 3 and (word in lexicon.english or _abbreviated(word, lexicon)):
                    english += 1
                elif word not in lexicon.english and _initials(word, lexicon):
                    pinyin += 1
    return pinyin > english


def _words(text: str) -> list[str]:
    return [word.lower() for part in _RUNS.findall(text) for word in _CAMEL.split(part)]


def _read(text: str, lexicon: Lexicon, *, prefer_pinyin: bool) -> Phrase:
    words = _words(text)
    if not words:
        return Phrase()
    terms: list[Term] = []
    scores: list[tuple[float, int]] = []
    i = 0
    while i < len(words):
        if not words[i].isascii():
            found, known = segment(words[i], lexicon.chinese, lexicon.longest)
            terms += found
            scores.append((known / len(words[i]), len(words[i]) * 2))
            i += 1
            continue
        taken, found, quality = _ascii(words, i, lexicon, prefer_pinyin)
        terms += found
        scores.append((quality, sum(map(len, words[i : i + taken]))))
        i += taken
    terms = _unfold_of(words, terms, lexicon)
    total = sum(n for _, n in scores)
    return Phrase(terms=tuple(terms), quality=sum(q * n for q, n in scores) / total)


def _unfold_of(words: list[str], terms: list[Term], lexicon: Lexicon) -> list[Term]:
    """Turns ``date of birth`` into the order Chinese and abbreviations use."""
    if "of" not in words:
        return terms
    at = words.index("of")
    before = _read("_".join(words[:at]), lexicon, prefer_pinyin=False).terms
    after = _read("_".join(words[at + 1 :]), lexicon, prefer_pinyin=False).terms
    return [*after, *before]


def segment(text: str, forms: dict[str, Term], longest: int) -> tuple[list[Term], int]:
    """Splits Chinese text into the fewest known words; returns them and the characters covered."""
    cost = [0.0] + [0.0] * len(text)
    back: list[tuple[int, Term | None]] = [(0, None)] * (len(text) + 1)
    for end in range(1, len(text) + 1):
        cost[end], back[end] = cost[end - 1] + 2.5, (end - 1, None)
        for start in range(max(0, end - longest), end):
            term = forms.get(text[start:end])
            # The tiny bonus prefers, among equals, the longer last word: Chinese heads stand last.
            price = cost[start] + 1.0 - 0.001 * (end - start) * end
            if term is not None and price < cost[end]:
                cost[end], back[end] = price, (start, term)
    terms: list[Term] = []
    known = 0
    end = len(text)
    while end:
        start, term = back[end]
        if term is not None:
            terms.append(term)
            known += end - start
        elif text[start:end] in _NOISE:
            known += 1
        end = start
    return terms[::-1], known


def _ascii(
    words: list[str], at: int, lexicon: Lexicon, prefer_pinyin: bool
) -> tuple[int, list[Term], float]:
    for size in (4, 3, 2):
        if at + size <= len(words):
            term = lexicon.english.get("".join(words[at : at + size]))
            if term is not None:
                return size, [term], 1.0
    word = words[at]
    found, quality = _word(word, lexicon, prefer_pinyin, alone=len(words) == 1)
    return 1, found, quality


def _word(
    word: str, lexicon: Lexicon, prefer_pinyin: bool, *, alone: bool
) -> tuple[list[Term], float]:
    if len(word) >= 5 and word in lexicon.usual and word not in lexicon.english:
        return [*lexicon.initials[word]], 0.97
    if prefer_pinyin and 2 <= len(word) <= 12:
        guess = _initials(word, lexicon)
        if guess and (word not in lexicon.english or len(word) < 5):
            return guess, 0.97 if word in lexicon.usual else 0.85
    if word in lexicon.english:
        return [lexicon.english[word]], 1.0
    if len(word) > 3 and word.endswith("s") and word[:-1] in lexicon.english:
        return [lexicon.english[word[:-1]]], 1.0
    if word in lexicon.spelled:
        return [lexicon.spelled[word]], 0.9
    if len(word) >= 5:
        parts = _split(word, lexicon.english)
        if parts:
            return parts, 0.8
    if len(word) >= 6:
        parts = _split(word, lexicon.spelled)
        if parts:
            return parts, 0.8
    if len(word) >= 6:
        for key in (word, *(word[:i] + word[i + 1 :] for i in range(len(word)))):
            term = lexicon.english.get(key) or lexicon.typos.get(key)
            if term is not None:
                return [term], 0.8
    term = _abbreviated(word, lexicon)
    if term is not None:
        return [term], 0.75
    # Among English words, initials put together from several are more often chance than pinyin.
    guess = _initials(word, lexicon) if alone else [*lexicon.initials.get(word, ())]
    if guess:
        return guess, 0.45 + 0.08 * min(len(word), 5)
    return [], 0.0


def skeleton(word: str) -> str:
    """Returns a word's first letter and its other consonants, none doubled: ``ocptn``."""
    kept = word[:1] + "".join(c for c in word[1:] if c not in _VOWELS)
    return "".join(c for i, c in enumerate(kept) if i == 0 or c != kept[i - 1])


def _abbreviated(word: str, lexicon: Lexicon) -> Term | None:
    """Understands an English word cut down to its consonants: ``brth``, ``natlty``, ``grntr``."""
    vowels = sum(c in _VOWELS for c in word[1:])
    if not 3 <= len(word) <= 10 or vowels > (len(word) >= 5):
        return None
    return lexicon.cut.get(skeleton(word))


def _initials(word: str, lexicon: Lexicon) -> list[Term]:
    if word in lexicon.initials:
        return [*lexicon.initials[word]]
    for cut in range(len(word) - 2, 1, -1):
        left, right = lexicon.initials.get(word[:cut]), lexicon.initials.get(word[cut:])
        if left and right:
            return [*left, *right]
    stem = lexicon.initials.get(word[:-1]) if len(word) >= 3 else None
    if stem and word[-1] in _LAST_LETTER:
        return [*stem, lexicon.chinese[_LAST_LETTER[word[-1]]]]
    return []


def _split(word: str, forms: dict[str, Term]) -> list[Term]:
    """Splits a run of letters into the fewest forms that cover it all; empty if none do.

    Parts have three letters or more, the last one two: shorter ones would split any word.
    """
    if len(word) > 40:
        return []
    best: list[list[Term] | None] = [[]] + [None] * len(word)
    for end in range(3, len(word) + 1):
        for start in range(end - (1 if end == len(word) else 2)):
            left = best[start]
            term = forms.get(word[start:end]) if left is not None else None
            if left is None or term is None:
                continue
            current = best[end]
            if current is None or len(left) + 1 <= len(current):
                best[end] = [*left, term]
    return best[-1] or []
