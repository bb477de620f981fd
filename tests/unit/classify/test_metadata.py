"""Whole tables read from their metadata alone, in the manners banks write them."""

import pytest

from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.model import Column, Table, Verdict
from pingyao.classify.service import judge

KNOWLEDGE = load_knowledge()


def read(table: str, comment: str, *columns: tuple[str, str]) -> dict[str, Verdict]:
    made = Table("", table, comment, columns=tuple(Column(n, "", c) for n, c in columns))
    return {v.id.column: v for v in judge("s", made, None, KNOWLEDGE).columns}


def one(table: str, comment: str, name: str, said: str = "") -> Verdict:
    return read(table, comment, (name, said))[name]


@pytest.mark.parametrize(
    ("table", "comment", "name", "type_"),
    [
        ("GR_JCXX", "个人基础信息", "zjhm", "id_card_no"),
        ("GR_JCXX", "个人基础信息", "jtzz", "address"),
        ("DKHT", "信贷合同", "xdjjh", "contract_or_loan_no"),
        ("DKHT", "信贷合同", "dbhth", "contract_or_loan_no"),
        ("ZHJY", "账户交易", "jylsh", "transaction_detail"),
        ("ZHJY", "账户交易", "dfhm", "counterparty"),
        ("CIF_IND", "", "CERT_NO", "id_card_no"),
        ("CIF_IND", "", "CERT_TP", "id_doc_type"),
        ("CIF_IND", "", "BRTH_DT", "birth_date"),
        ("CIF_IND", "", "NATLTY_CD", "ethnicity_nationality"),
        ("CIF_IND", "", "OCPTN_CD", "education_occupation"),
        ("CIF_IND", "", "ANNL_INCM", "income_assets"),
        ("DP_ACCT", "", "DRAW_PWD", "password_or_secret"),
        ("CC_CARD", "", "PIN_BLK", "password_or_secret"),
        ("CC_CARD", "", "TRK2", "card_security"),
        ("CC_CARD", "", "EXP_DT", "card_security"),
        ("EB_USER", "", "DEV_FINGERPRINT", "device_ip_mac"),
        ("CR_ACCT", "", "FIVE_CATE", "credit_or_loan_info"),
    ],
)
def test_bank_names_without_a_comment(table: str, comment: str, name: str, type_: str) -> None:
    assert one(table, comment, name).type == type_


@pytest.mark.parametrize("name", ["valid_to", "有效期", "expiry_date"])
def test_validity_is_a_secret_of_cards_only(name: str) -> None:
    assert one("card_info", "银行卡信息", name).type == "card_security"
    assert one("t_coupon", "优惠券", name).type != "card_security"


@pytest.mark.parametrize(
    ("comment", "type_"),
    [
        ("学历 数据来源于参数表CIF_EDUCATION", "education_occupation"),
        ("职务 SELECT FIELD_VALUE FROM T_CODE", "education_occupation"),
        ("渠道 FM_CHANNEL.CHANNEL", "status_flag_type_code"),
    ],
)
def test_where_values_come_from_is_not_what_they_are(comment: str, type_: str) -> None:
    assert one("CIF_CLIENT", "客户信息", "c1", comment).type == type_


def test_utf8_read_as_gbk_is_mended() -> None:
    damaged = "证件号码".encode().decode("gb18030", "replace")
    assert damaged != "证件号码"
    assert one("t", "", "f1", damaged).type == "id_card_no"


@pytest.mark.parametrize("comment", ["锟斤拷锟斤拷", "\ufffd\ufffd", "鍐", "é è ü"])
def test_what_cannot_be_mended_is_no_evidence(comment: str) -> None:
    assert one("t", "", "f1", comment).abstained


def test_where_nothing_tells_persons_from_firms_the_stricter_holds() -> None:
    verdict = one("CD_CANCEL_REG", "销卡登记簿", "DOCUMENT_ID", "证件号码")
    assert (verdict.subject, int(verdict.labels.level)) == ("person", 3)
    assert verdict.labels.personal.name == "C2"


def test_a_bank_that_names_itself_makes_no_table_of_firms() -> None:
    table = read("ecif_cert_info", "", ("bankid", "法人编号"), ("cert_num", "证件号码"))
    assert table["bankid"].type == "org_branch_code"
    assert table["cert_num"].type == "id_card_no"


@pytest.mark.parametrize("comment", ["授权柜员", "操作柜员", "最后修改柜员"])
def test_tellers_are_staff_whatever_the_column_is_called(comment: str) -> None:
    assert one("MB_ACCT", "账户", "USER_ID", comment).type == "staff_id_or_name"


@pytest.mark.parametrize(
    "name", ["gold_wt", "pack", "lnkd", "ship_no", "half_yr", "base_id", "list", "xyz"]
)
def test_a_word_nobody_knows_names_nothing_sensitive(name: str) -> None:
    verdict = one("t_other", "", name)
    assert verdict.labels.personal.name in ("NONE", "C1")
    assert verdict.labels.level <= 2
