"""The value scan once more, slow and obvious: what the compiled kernel is held against.

Everything here works on ``bytes`` of one cell at a time, with regular expressions and plain loops.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date as calendar
from importlib.resources import files
from itertools import pairwise

from pingyao.classify.rules.values import Profile
from pingyao.classify.rules.values.profile import SpanCount

FIRST, SKETCH = 10, 256
NOTHING = {"-", "--", "/", "无", "空", "n/a", "na", "null", "none", "nan", "\\n"}
PROVINCES = {
    *(11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46),
    *(50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83, 91),
}
USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"
MASK = 2**64 - 1
WORDS = json.loads(files("pingyao.classify.data").joinpath("values.json").read_text("utf-8"))
SPANS = (
    *("id_card_no", "bank_card_no", "uscc", "mobile", "email", "landline", "vehicle_plate", "lei"),
)
WHOLES = ("id", "card_ok", "uscc_ok", "mobile", "email", "landline", "plate", "lei_ok")


def is_date(year: int, month: int, day: int) -> bool:
    try:
        calendar(year, month, day)
    except ValueError:
        return False
    return 1900 <= year <= 2099


def id_card(text: str) -> int:
    if re.fullmatch(r"\d{15}", text):
        good = int(text[:2]) in PROVINCES and 1 <= int(text[8:10]) <= 12
        return int(good and 1 <= int(text[10:12]) <= 31)
    if not re.fullmatch(r"\d{17}[\dXx]", text) or int(text[:2]) not in PROVINCES:
        return 0
    if not is_date(int(text[6:10]), int(text[10:12]), int(text[12:14])):
        return 0
    total = sum(int(c) * (2 ** (17 - i) % 11) for i, c in enumerate(text[:17]))
    return 2 if "10X98765432"[total % 11] == text[17].upper() else 1


def luhn(text: str) -> bool:
    total = 0
    for i, c in enumerate(reversed(text)):
        n = int(c) * (1 + i % 2)
        total += n - 9 if n > 9 else n
    return total % 10 == 0


def bank_card(text: str) -> int:
    if not re.fullmatch(r"\d{15,19}", text):
        return 0
    n = len(text)
    issuer = (
        (text[:2] == "62" and n >= 16)
        or (text[0] == "4" and n == 16)
        or (text[:2] in ("51", "52", "53", "54", "55") and n == 16)
        or (text[:2] in ("34", "37") and n == 15)
        or (text[:2] == "35" and n == 16)
        or ((text[:2] == "60" or text[0] == "9") and n in (16, 19))
    )
    return (2 if luhn(text) else 1) if issuer else 0


def uscc(text: str) -> int:
    if not re.fullmatch(r"[1-9ANY].\d{6}.{10}", text) or int(text[2:4]) not in PROVINCES:
        return 0
    if any(c not in USCC for c in text):
        return 0
    total = sum(USCC.index(c) * (3**i % 31) for i, c in enumerate(text[:17]))
    return 2 if USCC[-total % 31] == text[17] else 1


def org_code(text: str) -> int:
    if not re.fullmatch(r"[0-9A-Z]{8}-?[0-9X]", text):
        return 0
    total = sum(int(c, 36) * w for c, w in zip(text[:8], (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    return 2 if "0123456789X0"[11 - total % 11] == text[-1] else 1


def lei(text: str) -> int:
    if not re.fullmatch(r"[0-9A-Z]{18}\d\d", text) or text.isdigit():
        return 0
    return 2 if int("".join(str(int(c, 36)) for c in text)) % 97 == 1 else 1


def mobile(text: str) -> bool:
    return bool(re.fullmatch(r"(86)?1[3-9]\d{9}", text))


def landline(text: str) -> bool:
    return bool(re.fullmatch(r"(010|02\d|0[3-9]\d\d)[- ]?[2-8]\d{6,7}", text))


def when(text: str) -> str:
    if re.fullmatch(r"\d{8}|\d{14}", text):
        if is_date(int(text[:4]), int(text[4:6]), int(text[6:8])):
            if len(text) == 8:
                return "date"
            return "datetime" if int(text[8:10]) < 24 else ""
        return ""
    if re.match(r"(19|20)\d\d年", text) and 8 <= len(text.encode()) <= 17:
        return "date"
    found = re.match(r"((?:19|20)\d\d)([-/.])(\d\d?)\2(\d\d?)(.*)", text, re.DOTALL)
    if not found or len(text.encode()) < 8:
        return ""
    if not is_date(int(found[1]), int(found[3]), int(found[4])):
        return ""
    if not found[5]:
        return "date"
    return "datetime" if found[5][0] in " T" and len(found[5].encode()) >= 5 else ""


def email(text: str) -> bool:
    return 6 <= len(text) <= 254 and bool(
        re.fullmatch(r"[^@\0-\x20,;]+@[^@\0-\x20,;.][^@\0-\x20,;]*\.[^@\0-\x20,;.]{2,}", text)
    )


def amount(text: str) -> set[str] | None:
    """What an amount looks like; None if it is none."""
    plain = re.fullmatch(r"[-+]?(\d*)(?:\.(\d{1,18}))?(%?)", text)
    commas = re.fullmatch(r"[-+]?(\d{1,3}(?:,\d{3})+)(?:\.(\d{1,18}))?(%?)", text)
    found = commas or plain
    if not found or len(text) > 32 or not (found[1] or found[2]):
        return None
    whole, places = len(found[1].replace(",", "")), len(found[2] or "")
    if found[3]:
        return {"fraction"}
    if places == 0:
        return {"integer"} if whole <= 12 else set()
    if places <= 2:
        return {"money", "percent"} if whole <= 2 else {"money"}
    return {"fraction", "money"} if whole > 2 else {"fraction"}


def shaped(name: str, shape: int) -> set[str]:
    return {name, f"{name}_ok"} if shape == 2 else {name} if shape else set()


def region(text: str) -> bool:
    known = int(text[:2]) in PROVINCES and int(text[:2]) <= 65 and int(text[4:]) <= 90
    return known and (text[2:] == "0000" or 1 <= int(text[2:4]) <= 53 or text[2:4] == "90")


def digits(text: str) -> set[str]:
    n = len(text)
    kinds = {"digits"} | ({"integer"} if n <= 12 else set()) | ({"code"} if n <= 4 else set())
    if n == 6 and region(text):
        kinds.add("region")
    if n == 8:
        kinds |= {"eight"} | ({when(text)} - {""})
    if n == 9 and org_code(text) == 2:
        kinds |= {"org", "org_ok"}
    if n == 14:
        kinds |= {when(text)} - {""}
    if mobile(text):
        kinds.add("mobile")
    elif 10 <= n <= 12 and landline(text):
        kinds.add("landline")
    if 15 <= n <= 19:
        kinds |= shaped("id", id_card(text))
        if "id_ok" not in kinds:
            kinds |= shaped("card", bank_card(text)) | shaped("uscc", uscc(text))
    return kinds


def letters(text: str) -> set[str]:
    n, count = len(text), sum(c.isalpha() for c in text)
    if n <= 4:
        return {"code"}
    if n == 18:
        return shaped("id", id_card(text)) | shaped("uscc", uscc(text))
    if n == 20:
        return shaped("lei", lei(text))
    if n in (32, 40, 64, 128):
        return {"hash"}
    kinds = {"hk_macao"} if n in (9, 11) and count == 1 and text[0] in "HM" else set[str]()
    if n == 9:
        if count <= 2 and text[0] in "DEGKPS":
            kinds.add("passport")
        kinds |= shaped("org", org_code(text))
    return kinds


def marks(text: str) -> tuple[set[str], bool]:
    """What a cell of ASCII with marks looks like, and whether that says what it is."""
    n, figures = len(text), sum(c.isdigit() for c in text)
    if "@" in text:
        return ({"email"}, True) if text.count("@") == 1 and email(text) else (set(), False)
    if figures >= 6 and n <= 40 and when(text):
        return {when(text)}, True
    if n == 10 and text[-2] == "-" and org_code(text):
        return shaped("org", org_code(text)), True
    if n == 60 and text.startswith("$2"):
        return {"hash"}, True
    if re.fullmatch(r"[0-9A-Fa-f]{2}([:-])([0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}", text):
        return {"mac"}, True
    if not figures or any(c.isalpha() for c in text):
        return set(), False
    parts = text.split(".")
    if len(parts) == 4 and all(re.fullmatch(r"\d{1,3}", p) and int(p) < 256 for p in parts):
        return {"ip"}, True
    if 10 <= figures <= 12 and n == figures + 1 and landline(text):
        return {"landline"}, True
    kinds = amount(text)
    if kinds is not None:
        return kinds, True
    if text[0].isdigit() and re.fullmatch(r"[0-9 -]+", text) and not re.search("  |--", text):
        compact = re.sub("[ -]", "", text)
        if mobile(compact) and len(compact) == 11:
            return {"mobile"}, True
        if len(compact) == 18 and id_card(compact):
            return shaped("id", id_card(compact)), True
        if 16 <= len(compact) <= 19 and bank_card(compact):
            return shaped("card", bank_card(compact)), True
    return set(), False


def address(text: str) -> bool:
    at = found = 0
    for c in text:
        at += len(c.encode())
        found += c in WORDS["address_marks"]
        if not found and at >= 30:
            return False
    return found >= 3


def plate(text: str) -> bool:
    whole = f"[{WORDS['plate_provinces']}][A-Z]·?[0-9A-Za-z]{{5,6}}"
    return bool(re.fullmatch(whole, text)) and len(re.findall("[0-9]", text)) >= 3


def mixed(text: str) -> tuple[set[str], bool]:
    """What a cell that is not all ASCII looks like, and whether that says what it is."""
    size, kinds, known = len(text.encode()), set[str](), False
    han = len(re.findall(r"[\u4000-\u9fff]", text))
    if not han:
        return kinds, known
    if han * 3 == size:
        kinds.add("han")
        if re.fullmatch("[男女]性?", text):
            kinds.add("gender")
        if 2 <= han <= 5 and text[-1] == "族":
            kinds.add("ethnic")
        if 2 <= han <= 4 and text[0] in WORDS["surnames"]:
            kinds.add("name")
    elif text[0] in "0123456789" and len(re.findall("[0-9]", text)) >= 4:
        if when(text):
            kinds, known = {when(text)}, True
    elif plate(text):
        return {"plate"}, True
    if han >= 8:
        kinds.add("text")
    if han >= 4:
        if han * 3 + 12 >= size and text[-2:] in WORDS["organisation_endings"]:
            kinds.add("org_name")
        elif size <= 300 and address(text):
            kinds.add("address")
    return kinds, known


def judge(run: str) -> tuple[str, bool] | None:
    if mobile(run):
        return "mobile", True
    if len(run) == 18 and id_card(run):
        return "id_card_no", id_card(run) == 2
    if uscc(run) == 2:
        return "uscc", True
    if bank_card(run):
        return "bank_card_no", bank_card(run) == 2
    return ("lei", True) if lei(run) == 2 else None


def parted(text: str, gap: int) -> tuple[str, bool] | None:
    """What the groups of digits are whose first gap this is."""
    mark = text[gap]
    left = gap - len(re.search(r"[0-9]*$", text[:gap])[0])
    if re.search(r"[0-9A-Za-z]$|[0-9][ -]$", text[:left]):
        return None
    groups = [text[left:gap]]
    at = gap
    while at < len(text) and text[at] == mark and len(groups) < 5:
        found = re.match(r"[0-9]+", text[at + 1 :])
        group = found[0] if found else ""
        sizes = [len(g) for g in groups]
        if sizes == [6, 8] and text[at + 1 + len(group) :][:1] in ("x", "X"):
            group = text[at + 1 :][: len(group) + 1]
        if not group or sum(sizes) + len(group) > 19:
            break
        groups.append(group)
        at += 1 + len(group)
    if re.match(r"[0-9A-Za-z]", text[at:]):
        return None
    sizes, whole = [len(g) for g in groups], "".join(groups)
    if sizes == [3, 4, 4] and mobile(whole):
        return "mobile", True
    if sizes == [6, 8, 4] and id_card(whole):
        return "id_card_no", id_card(whole) == 2
    if sizes in ([3, 8], [4, 7], [4, 8]) and mark != " " and landline(whole):
        return "landline", True
    if sizes[:4] == [4] * 4 and len(sizes) <= 5 and bank_card(whole):
        return "bank_card_no", bank_card(whole) == 2
    return None


def inside(raw: bytes) -> Iterator[tuple[str, bool]]:
    """The identifiers inside a cell."""
    text = raw.decode("latin-1")
    for run in re.finditer(r"[0-9A-Za-z]+", text):
        worth = len(run[0]) >= 20 or re.search(r"[0-9]{7}", run[0])
        if worth and text[run.end() : run.end() + 1] != "@" and (hit := judge(run[0])):
            yield hit
    for gap in re.finditer(r"(?<=[0-9]{3})[ )-](?=[0-9]{3})", text):
        if hit := parted(text, gap.start()):
            yield hit
    for _ in re.finditer(r"(?<=[0-9A-Za-z_+-])@(?=[0-9A-Za-z-][0-9A-Za-z.-]*\.[0-9A-Za-z])", text):
        yield "email", True
    for hit in re.finditer(
        f"[{WORDS['plate_provinces']}][A-Z]·?([0-9A-Z]{{5,6}})(?![0-9A-Za-z])",
        raw.decode("utf-8", "replace"),
    ):
        if len(re.findall("[0-9]", hit[1])) >= 2:
            yield "vehicle_plate", True


def cell(raw: bytes) -> tuple[set[str], bool]:
    text = raw.decode("utf-8", "replace")
    if re.fullmatch("[0-9]+", text):
        kinds, known = digits(text), True
    elif re.fullmatch("[0-9A-Za-z]+", text):
        kinds, known = letters(text), True
    else:
        kinds, known = marks(text) if text.isascii() else mixed(text)
    return (kinds | {"masked"} if text.count("*") >= 3 else kinds), known


def folded(a: int, b: int) -> int:
    return (a * b >> 64 ^ a * b) & MASK


def hashed(raw: bytes) -> int:
    one_, two_, three_ = 0x9E3779B97F4A7C15, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3
    raw = raw[:4096]

    def word(at: int) -> int:
        return int.from_bytes(raw[at : at + 8], "little")

    value, at, size = len(raw) * one_ & MASK, 0, len(raw)
    while at + 16 < size:
        value = folded(word(at) ^ two_, word(at + 8) ^ value)
        at += 16
    if size >= 16:
        a, b = word(size - 16), word(size - 8)
    elif size >= 8:
        a, b = word(0), word(size - 8)
    else:
        a, b = word(0), 0
    return folded(folded(a ^ two_, b ^ value) ^ one_, three_)


def scale(text: str) -> int:
    value, shift = int(text), 0
    while value >> shift > 255:
        shift += 1
    return shift << 8 | value >> shift


def profile(column: list[bytes | None], first_row: int = 0) -> Profile:
    """Sums up a column of text as the kernel does."""
    counts: Counter[str] = Counter()
    found: dict[str, list[tuple[int, bool]]] = {}
    wholes: dict[str, list[int]] = {}
    cells: list[bytes] = []
    nulls = blanks = 0
    for row, raw in enumerate(column, first_row):
        if raw is None:
            nulls += 1
            continue
        raw = raw.strip(bytes(range(33)))
        lower = raw.decode("utf-8", "replace").lower() if raw.isascii() or len(raw) == 3 else ""
        if not raw or lower in NOTHING:
            blanks += 1
            continue
        cells.append(raw)
        kinds, known = cell(raw)
        counts.update(kinds)
        for type_, counter in zip(SPANS, WHOLES, strict=True):
            if counter in kinds:
                wholes.setdefault(type_, []).append(row)
        if not known:
            for type_, passed in inside(raw):
                found.setdefault(type_, []).append((row, passed))
    scales = [scale(c.decode()) if re.fullmatch(rb"[0-9]{1,18}", c) else -1 for c in cells]
    risen = -1 not in scales and all(a <= b for a, b in pairwise(scales))
    return Profile(
        rows=len(column),
        nulls=nulls,
        blanks=blanks,
        cells=len(cells),
        shortest=min(map(len, cells), default=0),
        longest=max(map(len, cells), default=0),
        counts=dict(counts),
        spans={t: _spans(t, hits) for t, hits in found.items()},
        wholes={t: tuple(rows[:FIRST]) for t, rows in wholes.items()},
        sketch=tuple(sorted({hashed(c) for c in cells})[:SKETCH]),
        first=scales[0] if cells and risen else -1,
        last=scales[-1] if cells and risen else -1,
    )


def _spans(type_: str, hits: list[tuple[int, bool]]) -> SpanCount:
    rows = sorted({row for row, passed in hits if passed or type_ != "bank_card_no"})
    passed = sum(passed for _, passed in hits)
    return SpanCount(len(hits), passed, len(rows), tuple(rows[:FIRST]))
