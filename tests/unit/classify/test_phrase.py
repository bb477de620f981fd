"""Names and comments are understood in every style, and nonsense stays not understood."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingyao.classify.lexicon import load_lexicon
from pingyao.classify.rules.phrase import head_of_comment, read_comment, read_name, speaks_pinyin

LEXICON = load_lexicon()


def names(text: str) -> list[str]:
    return [t.name for t in read_name(text, LEXICON).terms]


@pytest.mark.parametrize(
    "text", ["cust_no", "custNo", "CustNo", "CUST_NO", "custno", "khh", "客户号", "kehu_no"]
)
def test_one_meaning_in_every_style(text: str) -> None:
    assert names(text) == ["客户", "号"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zjhm", ["证件", "号"]),
        ("dkye", ["贷款", "余额"]),
        ("pwd_upd_dt", ["密码", "修改", "日期"]),
        ("priviledge", ["菜单"]),
        ("date_of_birth", ["出生日期", "日期"]),
        ("grntr_nm", ["担保人", "名称"]),
        ("brth_dt", ["出生日期"]),
    ],
)
def test_abbreviations_pinyin_and_typos(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize("text", ["xd_col16", "fld_023", "c12", "f7"])
def test_numbered_names_claim_no_head(text: str) -> None:
    assert not any(t.head or t.type for t in read_name(text, LEXICON).terms)


@pytest.mark.parametrize("text", ["", "___", "123", "qqqxz", "\x00\x1b[31m", "🙂"])
def test_nonsense_is_not_understood(text: str) -> None:
    assert read_name(text, LEXICON).quality == 0.0


@pytest.mark.parametrize(
    ("comment", "head"),
    [
        ("举报类型：0->商品评价；1->话题", "举报类型"),
        ("状态(0正常 1停用)", "状态"),
        ("  客户号  ", "客户号"),
        ("", ""),
    ],
)
def test_value_lists_are_no_part_of_the_phrase(comment: str, head: str) -> None:
    assert head_of_comment(comment) == head


def test_the_last_noun_is_the_head() -> None:
    phrase = read_comment("登录密码错误次数", LEXICON)
    assert phrase.terms[-1].head == "count"


def test_a_pinyin_table_is_recognised() -> None:
    assert speaks_pinyin(["khh", "zjhm", "sjhm", "jyrq", "dkye"], LEXICON)
    assert not speaks_pinyin(["customer_no", "mobile", "trade_date", "balance"], LEXICON)


@given(st.text(max_size=400))
def test_any_text_is_read_without_failing(text: str) -> None:
    for phrase in (read_name(text, LEXICON), read_comment(text, LEXICON)):
        assert 0.0 <= phrase.quality <= 1.0
