"""What a column of the example bank can hold: how it is made, and what it truly is."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pingyao.app.example import values as v
from pingyao.app.example.values import Random


class Kind(NamedTuple):
    """A kind of column.

    Attributes:
        type: the true data type id.
        by_value: whether its values alone can tell the type.
        make: makes ``n`` cells; ``row`` is the number of the first.
    """

    type: str
    by_value: bool
    make: Callable[[Random, int, int], pa.Array]


def _numbered(prefix: str, width: int, step: int = 1) -> Callable[[Random, int, int], pa.Array]:
    """Numbers that only rise, after a prefix."""

    def make(rng: Random, n: int, row: int) -> pa.Array:
        serial = v.number(np.arange(row, row + n, dtype=np.int64) * step + 1, width)
        head = np.tile(np.frombuffer(prefix.encode(), np.uint8), (n, 1))
        return v.fixed(np.hstack([head, serial]))

    return make


def _drawn(prefix: str, width: int, below: int) -> Callable[[Random, int, int], pa.Array]:
    """References to numbered things."""

    def make(rng: Random, n: int, row: int) -> pa.Array:
        serial = v.number(rng.integers(1, below, n), width)
        head = np.tile(np.frombuffer(prefix.encode(), np.uint8), (n, 1))
        return v.fixed(np.hstack([head, serial]))

    return make


def _random(first: str, width: int) -> Callable[[Random, int, int], pa.Array]:
    return lambda rng, n, row: v.fixed(v.digits(rng, n, width, first))


def _choice(*pool: str) -> Callable[[Random, int, int], pa.Array]:
    return lambda rng, n, row: v.pick(rng, n, [*pool])


def _date(
    separator: str, since: int = 2008, until: int = 2026
) -> Callable[[Random, int, int], pa.Array]:
    def make(rng: Random, n: int, row: int) -> pa.Array:
        plain = v.ymd(v.days(rng, n, since, until))
        if not separator:
            return v.fixed(plain)
        mark = np.full((n, 1), ord(separator), np.uint8)
        return v.fixed(np.hstack([plain[:, :4], mark, plain[:, 4:6], mark, plain[:, 6:]]))

    return make


def _moment(rng: Random, n: int, row: int) -> pa.Array:
    day = _date("-")(rng, n, row)
    clock = v.pooled(
        rng, n, lambda: f" {rng.integers(24):02d}:{rng.integers(60):02d}:{rng.integers(60):02d}"
    )
    return v.joined(day, clock)


def _money(scale: float) -> Callable[[Random, int, int], pa.Array]:
    return lambda rng, n, row: pa.array(np.round(rng.lognormal(scale, 1.6, n), 2), pa.float64())


def _rate(rng: Random, n: int, row: int) -> pa.Array:
    return pa.array(np.round(rng.uniform(0.2, 8.5, n), 4), pa.float64())


def _count(most: int) -> Callable[[Random, int, int], pa.Array]:
    return lambda rng, n, row: pa.array(rng.integers(0, most, n), pa.int64())


def _email(rng: Random, n: int, row: int) -> pa.Array:
    domains = ["@example.com", "@mail.example.org", "@corp.example.net"]
    return v.pooled(rng, n, lambda: f"u{rng.integers(10**8):08d}{domains[rng.integers(3)]}")


def _landline(rng: Random, n: int, row: int) -> pa.Array:
    return v.pooled(
        rng,
        n,
        lambda: (
            f"{('010', '021', '0755', '0354')[rng.integers(4)]}-{rng.integers(2, 9)}{rng.integers(10**7):07d}"
        ),
    )


def _address(rng: Random, n: int, row: int) -> pa.Array:
    def make() -> str:
        place = v.PLACES[rng.integers(len(v.PLACES))][1]
        street = v.STREETS[rng.integers(len(v.STREETS))]
        return f"{place}{street}路{rng.integers(1, 900)}号{rng.integers(1, 30)}栋{rng.integers(101, 2800)}室"

    return v.pooled(rng, n, make)


def _company(rng: Random, n: int, row: int) -> pa.Array:
    def make() -> str:
        place = v.PLACES[rng.integers(len(v.PLACES))][1][:2]
        firm, trade = v.FIRMS[rng.integers(len(v.FIRMS))], v.TRADES[rng.integers(len(v.TRADES))]
        return f"{place}{firm}{'甲乙丙丁戊己'[rng.integers(6)]}{trade}有限公司"

    return v.pooled(rng, n, make)


def _hash(width: int) -> Callable[[Random, int, int], pa.Array]:
    hexadecimal = np.frombuffer(b"0123456789abcdef", np.uint8)
    return lambda rng, n, row: v.fixed(hexadecimal[rng.integers(0, 16, (n, width))])


def _blob(rng: Random, n: int, row: int) -> pa.Array:
    alphabet = np.frombuffer(
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8
    )
    return v.fixed(alphabet[rng.integers(0, 64, (n, 172))])


def _ip(rng: Random, n: int, row: int) -> pa.Array:
    return v.pooled(
        rng, n, lambda: f"10.{rng.integers(256)}.{rng.integers(256)}.{rng.integers(1, 255)}"
    )


def _mac(rng: Random, n: int, row: int) -> pa.Array:
    return v.pooled(rng, n, lambda: ":".join(f"{rng.integers(256):02X}" for _ in range(6)))


def _plate(rng: Random, n: int, row: int) -> pa.Array:
    return v.pooled(
        rng,
        n,
        lambda: (
            f"{'晋京沪粤浙陕'[rng.integers(6)]}{'ABCDEFK'[rng.integers(7)]}{rng.integers(10**5):05d}"
        ),
    )


def _passport(rng: Random, n: int, row: int) -> pa.Array:
    return v.fixed(v.digits(rng, n, 9, "E"))


def _permit(rng: Random, n: int, row: int) -> pa.Array:
    return v.fixed(v.digits(rng, n, 9, "H"))


def _masked(rng: Random, n: int, row: int) -> pa.Array:
    matrix = v.digits(rng, n, 11, "138")
    matrix[:, 3:7] = 42
    return v.fixed(matrix)


_SAID = (
    *("客户来电咨询存款利率，已答复", "客户要求寄送纸质账单", "已完成贷后回访，经营正常"),
    *("客户对手续费有异议，已转主管处理", "预约周五下午到网点办理开户", "资料不全，待补交收入证明"),
)


def _remark(share: float) -> Callable[[Random, int, int], pa.Array]:
    """Sentences, a few of which hide a phone, an ID or a card number."""

    def make(rng: Random, n: int, row: int) -> pa.Array:
        serial = v.fixed(v.number(rng.integers(0, 10**6, n), 6))
        texts = v.joined(v.pick(rng, n, [*_SAID]), pa.array(["，工单"] * n), serial)
        hidden = np.flatnonzero(rng.random(n) < share)
        if not len(hidden):
            return texts
        cells = texts.to_numpy(zero_copy_only=False).astype(object)
        third = np.array_split(hidden, 3)
        made = (v.mobiles, v.id_cards, v.cards)
        words = ("联系电话", "身份证", "卡号")
        for rows, maker, word in zip(third, made, words, strict=True):
            found = maker(rng, len(rows)).to_pylist()
            for at, text in zip(rows, found, strict=True):
                cells[at] = f"客户补充{word}{text}，请尽快联系"
        return pa.array(cells, pa.string())

    return make


KINDS: dict[str, Kind] = {
    "custno": Kind("customer_no", False, _drawn("C", 9, 400_000)),
    "custkey": Kind("customer_no", False, _numbered("C", 9)),
    "key": Kind("technical_key", False, _numbered("", 10)),
    "name": Kind("person_name", True, lambda rng, n, row: v.names(rng, n)),
    "company": Kind("org_name", True, _company),
    "idcard": Kind("id_card_no", True, lambda rng, n, row: v.id_cards(rng, n)),
    "passport": Kind("passport_no", True, _passport),
    "permit": Kind("hk_macao_permit_no", True, _permit),
    "idtype": Kind("id_doc_type", False, _choice("10", "11", "12", "13", "51")),
    "uscc": Kind("uscc", True, lambda rng, n, row: v.credit_codes(rng, n)),
    "orgcode": Kind("org_code", True, lambda rng, n, row: v.org_codes(rng, n)),
    "mobile": Kind("mobile", True, lambda rng, n, row: v.mobiles(rng, n)),
    "maskedmobile": Kind("mobile", False, _masked),
    "landline": Kind("landline", True, _landline),
    "email": Kind("email", True, _email),
    "address": Kind("address", True, _address),
    "region": Kind("region_code", True, _choice(*(code for code, _ in v.PLACES))),
    "plate": Kind("vehicle_plate", True, _plate),
    "birth": Kind("birth_date", False, _date("", 1945, 2006)),
    "gender": Kind("gender", True, _choice("男", "女")),
    "gendercode": Kind("gender", False, _choice("1", "2", "9")),
    "ethnic": Kind(
        "ethnicity_nationality", True, _choice("汉族", "回族", "满族", "蒙古族", "藏族")
    ),
    "marital": Kind("marital", False, _choice("10", "20", "30", "40")),
    "education": Kind("education_occupation", False, _choice("10", "20", "30", "40", "60")),
    "job": Kind("education_occupation", False, _choice("1", "3", "4", "5", "6", "Y", "Z")),
    "income": Kind("income_assets", False, _money(11.0)),
    "acctno": Kind("account_no", False, _drawn("1402", 14, 900_000)),
    "acctkey": Kind("account_no", False, _numbered("1402", 14)),
    "card": Kind("bank_card_no", True, lambda rng, n, row: v.cards(rng, n)),
    "cvv": Kind("card_security", False, _random("", 3)),
    "contract": Kind("contract_or_loan_no", False, _drawn("HT2024", 10, 90_000)),
    "loanno": Kind("contract_or_loan_no", False, _numbered("JJ20", 12)),
    "secret": Kind("password_or_secret", True, _hash(64)),
    "md5": Kind("password_or_secret", True, _hash(32)),
    "otp": Kind("verification_code", False, _random("", 6)),
    "template": Kind("biometric", False, _blob),
    "ip": Kind("ip", True, _ip),
    "mac": Kind("mac", True, _mac),
    "device": Kind("device_ip_mac", False, _hash(16)),
    "staff": Kind("staff_id_or_name", False, _drawn("8", 5, 900)),
    "staffname": Kind("staff_id_or_name", False, lambda rng, n, row: v.names(rng, n)),
    "branch": Kind("org_branch_code", False, _drawn("14", 4, 80)),
    "bankname": Kind(
        "org_branch_code",
        False,
        _choice("平遥示例银行古城支行", "平遥示例银行营业部", "平遥示例银行城东支行"),
    ),
    "balance": Kind("amount_balance", True, _money(9.0)),
    "amount": Kind("transaction_amount", True, _money(7.0)),
    "loanamount": Kind("amount_balance", True, _money(12.0)),
    "limit": Kind("credit_or_loan_info", False, _money(10.0)),
    "overdue": Kind("credit_or_loan_info", False, _count(7)),
    "fivelevel": Kind(
        "credit_or_loan_info", False, _choice("正常", "关注", "次级", "可疑", "损失")
    ),
    "collateral": Kind("guarantee_collateral", False, _money(13.0)),
    "finstat": Kind("financial_statement", False, _money(15.0)),
    "rate": Kind("interest_rate", True, _rate),
    "serial": Kind("transaction_detail", False, _numbered("20250611", 10, 7)),
    "orderno": Kind("transaction_detail", False, _random("62", 16)),
    "counterparty": Kind("counterparty", False, _company),
    "product": Kind("product_info", False, _drawn("P", 4, 300)),
    "productname": Kind(
        "product_info", False, _choice("安心存", "天天盈", "晋商宝", "助农贷", "信用快贷")
    ),
    "rating": Kind("risk_rating_label", False, _choice("AAA", "AA", "A", "BBB", "BB", "B")),
    "status": Kind("status_flag_type_code", True, _choice("0", "1", "2", "9")),
    "flag": Kind("status_flag_type_code", True, _choice("Y", "N")),
    "code": Kind("status_flag_type_code", True, _choice("A01", "A02", "B01", "C09", "D03")),
    "ccy": Kind("status_flag_type_code", True, _choice("CNY", "USD", "HKD", "EUR")),
    "count": Kind("other", False, _count(40)),
    "date": Kind("date_time", True, _date("-")),
    "ymd": Kind("date_time", True, _date("")),
    "slash": Kind("date_time", True, _date("/")),
    "moment": Kind("date_time", True, _moment),
    "remark": Kind("free_text_remark", True, _remark(0.004)),
    "note": Kind("free_text_remark", True, _remark(0.0)),
    "clean": Kind("other", False, _choice("", "")),
}
