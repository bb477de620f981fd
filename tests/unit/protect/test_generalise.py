"""Bands of age, levels of region, bands of amount: what is kept, and what cannot be read is hidden."""

from datetime import date, datetime

import pyarrow as pa
import pytest

from pingyao.protect.rules import dates, numbers, regions
from pingyao.protect.rules.techniques import check_params

ON = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("born", "band"),
    [
        ("1996-03-01", "[30,40)"),
        ("1996-03-02", "[20,30)"),
        ("19960229", "[30,40)"),
        ("1996/02/29 08:00:00", "[30,40)"),
        ("2026-03-01", "[0,10)"),
        ("1936-03-01", "≥90"),
        ("1901-01-01", "≥90"),
        ("2026-03-02", "***"),
        ("1996-13-01", "***"),
        ("9999-12-31", "***"),
        ("0000-00-00", "***"),
        ("1880-01-01", "***"),
        ("保密", "***"),
        ("96-3-1", "***"),
        ("", ""),
        (None, None),
    ],
)
def test_ages(born: str | None, band: str | None) -> None:
    made, hidden = dates.ages(pa.array([born], pa.string()), ON, 10, 90)
    assert made.to_pylist() == [band]
    assert hidden == (band == "***")


def test_ages_of_dates_and_times() -> None:
    born = [date(1996, 3, 1), None, date(2100, 1, 1)]
    made, hidden = dates.ages(pa.array(born), ON, 5, 60)
    assert (made.to_pylist(), hidden) == (["[30,35)", None, "***"], 1)
    at = pa.array([datetime(1960, 1, 1, 3)], pa.timestamp("us"))  # noqa: DTZ001 - as a database has it
    assert dates.ages(at, ON, 25, 60)[0].to_pylist() == ["≥50"]


@pytest.mark.parametrize(
    ("code", "level", "kept"),
    [
        ("440305", "province", "440000"),
        ("440305", "city", "440300"),
        ("440305", "county", "440305"),
        ("440305007", "city", "440300000"),
        ("440305007012", "county", "440305000000"),
        ("110108", "city", "110100"),
        ("44030", "city", "***"),
        ("4403050", "county", "***"),
        ("CHN", "province", "***"),
        ("４４０３０５", "city", "***"),
        ("", "city", ""),
        (None, "city", None),
    ],
)
def test_codes(code: str | None, level: str, kept: str | None) -> None:
    made, hidden = regions.codes(pa.array([code], pa.string()), level)
    assert made.to_pylist() == [kept]
    assert hidden == (kept == "***")


@pytest.mark.parametrize(
    ("address", "province", "city", "county"),
    [
        ("广东省深圳市南山区粤海街道科技路1号", "广东省", "广东省深圳市", "广东省深圳市南山区"),
        ("广东深圳市南山区科技路1号", "广东省", "广东省深圳市", "广东省深圳市南山区"),
        ("北京市海淀区中关村大街1号", "北京市", "北京市", "北京市海淀区"),
        ("北京海淀区中关村大街1号", "北京市", "北京市", "北京市海淀区"),
        ("上海市市辖区浦东新区世纪大道8号", "上海市", "上海市", None),
        (
            "新疆维吾尔自治区伊犁哈萨克自治州伊宁市解放路2号",
            "新疆维吾尔自治区",
            "新疆维吾尔自治区伊犁哈萨克自治州",
            "新疆维吾尔自治区伊犁哈萨克自治州伊宁市",
        ),
        (
            "内蒙古自治区锡林郭勒盟苏尼特右旗赛汉塔拉镇",
            "内蒙古自治区",
            "内蒙古自治区锡林郭勒盟",
            "内蒙古自治区锡林郭勒盟苏尼特右旗",
        ),
        ("吉林省吉林市昌邑区解放大路3号", "吉林省", "吉林省吉林市", "吉林省吉林市昌邑区"),
        ("中国四川省成都市武侯区1号", "四川省", "四川省成都市", "四川省成都市武侯区"),
        ("杭州市西湖区文三路9号", "***", "杭州市", "杭州市西湖区"),
        ("科技路1号", "***", "***", "***"),
        ("1 Main Street", "***", "***", "***"),
        ("", "", "", ""),
        (None, None, None, None),
    ],
)
def test_addresses(
    address: str | None, province: str | None, city: str | None, county: str | None
) -> None:
    given = pa.array([address], pa.string())
    for level, kept in (("province", province), ("city", city), ("county", county)):
        made, hidden = regions.addresses(given, level)
        if level == "county" and kept is None and address:
            continue
        assert made.to_pylist() == [kept], level
        assert hidden == (kept == "***")


@pytest.mark.parametrize("level", list(regions.LEVELS))
def test_no_number_of_a_house_is_left(level: str) -> None:
    given = pa.array([f"广东省深圳市南山区科技路{n}号院{n}栋" for n in range(200)])
    made = set(regions.addresses(given, level)[0].to_pylist())
    assert len(made) == 1
    assert not any(c.isdigit() for c in made.pop())


def test_provinces_are_complete() -> None:
    codes = [p.code for p in regions.provinces()]
    assert len(set(codes)) == 34
    assert all(p.name.startswith(p.short) for p in regions.provinces())


def test_bands_of_amounts() -> None:
    given = pa.array(["-5", "0", "9999.99", "10000", "1e9", "x", None, ""])
    made, unfit = numbers.bands(given, numbers.read_edges("0,10000,100000"))
    assert made.to_pylist() == [
        "<0",
        "[0,10000)",
        "[0,10000)",
        "[10000,100000)",
        None,
        None,
        None,
        None,
    ]
    assert unfit == 2
    assert numbers.bands(pa.array([18, 17]), (18.0,))[0].to_pylist() == ["≥18", "<18"]


@pytest.mark.parametrize(
    ("technique", "params", "wrong"),
    [
        ("bin", {"edges": "0,10,100"}, ""),
        ("bin", {"width": 5}, ""),
        ("bin", {}, "width"),
        ("bin", {"edges": "10,0"}, "由小到大"),
        ("bin", {"edges": "a"}, "逗号"),
        ("bin", {"edges": "nan,1"}, "由小到大"),
        ("bin", {"edges": ",".join(map(str, range(65)))}, "至多"),
        ("age", {"width": 10, "on": "2026-01-01"}, ""),
        ("age", {"width": 10}, "on"),
        ("age", {"width": 10, "on": "去年"}, "日期"),
        ("age", {"width": 0, "on": "2026-01-01"}, "width"),
        ("age", {"width": 10, "on": "2026-01-01", "top": 5}, "top"),
        ("region", {"level": "county"}, ""),
        ("region", {"level": "street"}, "level"),
    ],
)
def test_parameters(technique: str, params: dict[str, str | float], wrong: str) -> None:
    said = check_params(technique, params, [])
    assert (wrong in said) if wrong else not said
