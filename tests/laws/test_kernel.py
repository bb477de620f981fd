"""The compiled kernel says, bit for bit, what the slow and obvious reference says."""

import random

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from pingyao.classify.rules import values

IDENTIFIERS = (
    *("11010519491231002X", "110105194912310021", "110105491231002", "62010219800101123X"),
    *("4111111111111111", "6222021234567890128", "378282246310005", "91350100M000100Y43"),
    *("D2143569-X", "D2143569X", "5493001KJTIIGC8Y1R12", "13800138000", "8613800138000"),
    *("0755-26001234", "010-62345678", "(0354)5681234", "someone@example.com", "晋A12345"),
    *("京AD12345", "粤B·8K7T1", "E12345678", "H12345678", "10.0.0.1", "00:1A:2B:3C:4D:5E"),
    *("2024-01-31", "2024/1/3 8:30", "20240131", "20240131083000", "2024年1月31日", "140728"),
    *("1,234.56", "-12.5", "3.25%", "0.0435", "138 0013 8000", "6222 0212 3456 7890 128"),
    *("110105 19491231 002X", "4111-1111-1111-1111", "山西省晋中市平遥县古城村12号", "张三"),
    *("平遥示例商贸有限公司", "男", "女性", "汉族", "N/A", "无", "\\N", "***", "138****8000"),
    *("$2b$12$" + "a" * 53, "f" * 64, "0" * 32, "123456", "00", "Y", "a@b", "@", "-", "."),
)
pieces = st.one_of(
    st.sampled_from(IDENTIFIERS),
    st.sampled_from([" ", "-", ")", "(", "，", "电话", "A", "x", "7", "尾号", "@", ".", "*", "\t"]),
    st.text(alphabet="0123456789", min_size=1, max_size=22),
    st.text(alphabet="0123456789ABXx @.-*,年月日省市区号公司银行张王晋京·é😀", max_size=40),
    st.from_regex(r"[0-9]{3,6}([ -][0-9]{3,8}){1,4}", fullmatch=True),
)
cells = st.one_of(
    st.none(),
    pieces,
    st.lists(pieces, max_size=6).map("".join),
    st.text(max_size=90),
    st.lists(pieces, min_size=10, max_size=40).map("".join),
)


def same(column: list[str | None]) -> None:
    kernel = values.profile(pa.array(column, pa.string()), 7)
    raw = [None if c is None else c.encode() for c in column]
    assert kernel == reference.profile(raw, 7)


@settings(deadline=None, max_examples=500)
@given(st.lists(cells, max_size=8))
def test_the_kernel_equals_the_reference(column: list[str | None]) -> None:
    same(column)


def test_every_place_within_a_longer_cell() -> None:
    """Identifiers are found wherever they lie against the sixty-four bytes looked at together."""
    for lead in range(70):
        for text in IDENTIFIERS:
            same([f"{'。' * (lead // 3)}{'.' * (lead % 3)}{text}{'，' * (lead % 5)}"])


def test_mutated_identifiers() -> None:
    rng = random.Random(5)
    alphabet = "0123456789ABCXx -.,@年市号张*\t·"
    column: list[str | None] = []
    for _ in range(6000):
        text = list(rng.choice(IDENTIFIERS))
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(text) + 1)
            text[at : at + rng.randrange(2)] = rng.choice(alphabet)
        column.append("".join(text))
    for cell in column:
        same([cell])
    same(column)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=200)), max_size=6))
def test_any_bytes_at_all(column: list[bytes | None]) -> None:
    """What is no text is counted all the same, and never read beyond its end."""
    kernel = values.profile(pa.array(column, pa.binary()))
    assert kernel.rows == len(column)
    assert kernel.nulls + kernel.blanks + kernel.cells == len(column)


numbers = st.one_of(
    st.integers(-(10**12), 10**12).map(lambda n: n / 100),
    st.integers(-(10**15), 10**15).map(float),
    st.integers(0, 10**9).map(lambda n: n / 10**6),
)


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), numbers), max_size=20))
def test_floats_read_like_their_shortest_decimals(column: list[float | None]) -> None:
    def shortest(value: float) -> str:
        text = format(value, "f") if abs(value) >= 1e16 else repr(value)
        text = format(value, ".9f").rstrip("0").rstrip(".") if "e" in text else text
        return text.removesuffix(".0").replace("-0", "0") if value == 0 else text.removesuffix(".0")

    kernel = values.profile(pa.array(column, pa.float64()))
    text = values.profile(
        pa.array([None if v is None else shortest(v) for v in column], pa.string())
    )
    assert kernel.counts == text.counts
    assert kernel.sketch == text.sketch


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.decimals(-(10**9), 10**9, places=2)), max_size=20),
    st.sampled_from([12, 18, 30]),
)
def test_decimals_read_like_their_text(column: list, precision: int) -> None:
    kernel = values.profile(pa.array(column, pa.decimal128(precision, 2)))
    text = values.profile(
        pa.array([None if v is None else f"{v:.2f}" for v in column], pa.string())
    )
    assert kernel.counts == text.counts
    assert kernel.sketch == text.sketch
