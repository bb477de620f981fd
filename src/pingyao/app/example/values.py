"""Made-up values by the column: seeded, vectorised, with the check digits the standards ask for."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Random = np.random.Generator
Bytes = NDArray[np.uint8]

SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
GIVEN = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂文华建国玉梅红志海波宁子涵浩宇欣怡雨泽晨梓萱俊杰思琪佳慧鹏飞晓东"
PLACES = (
    *(("110105", "北京市朝阳区"), ("310104", "上海市徐汇区"), ("440305", "广东省深圳市南山区")),
    *(
        ("330106", "浙江省杭州市西湖区"),
        ("140728", "山西省晋中市平遥县"),
        ("510107", "四川省成都市武侯区"),
    ),
    *(
        ("420106", "湖北省武汉市武昌区"),
        ("610113", "陕西省西安市雁塔区"),
        ("370202", "山东省青岛市市南区"),
    ),
    *(
        ("210102", "辽宁省沈阳市和平区"),
        ("530102", "云南省昆明市五华区"),
        ("350203", "福建省厦门市思明区"),
    ),
)
STREETS = (
    "建设",
    "解放",
    "人民",
    "中山",
    "和平",
    "文化",
    "光明",
    "迎宾",
    "滨河",
    "学府",
    "西环",
    "东风",
)
FIRMS = (
    "恒远",
    "华信",
    "晋商",
    "日升",
    "汇通",
    "德兴",
    "瑞丰",
    "宏达",
    "永昌",
    "泰和",
    "金桥",
    "盛源",
)
TRADES = (
    "商贸",
    "科技",
    "建材",
    "物流",
    "食品",
    "机械制造",
    "农业发展",
    "房地产开发",
    "电子",
    "纺织",
)


def fixed(matrix: Bytes) -> pa.Array:
    """Turns a matrix of ASCII bytes, a row a cell, into strings."""
    rows, width = matrix.shape
    offsets = np.arange(0, (rows + 1) * width, max(width, 1), dtype=np.int32)[: rows + 1]
    data = np.ascontiguousarray(matrix)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(data))


def digits(rng: Random, n: int, width: int, first: str = "") -> Bytes:
    """Random digits as bytes, beginning with ``first``."""
    matrix = rng.integers(48, 58, (n, width), dtype=np.uint8)
    matrix[:, : len(first)] = np.frombuffer(first.encode(), np.uint8)
    return matrix


def number(values: NDArray[np.int64], width: int) -> Bytes:
    """Whole numbers as digits with leading zeros."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (values[:, None] // powers % 10 + 48).astype(np.uint8)


def pick(rng: Random, n: int, pool: list[str], weights: list[float] | None = None) -> pa.Array:
    """Cells drawn from a pool."""
    p = None if weights is None else np.array(weights) / sum(weights)
    index = rng.choice(len(pool), n, p=p)
    return pa.array(pool, pa.string()).take(pa.array(index))


def pooled(rng: Random, n: int, make: Callable[[], str], size: int = 20_000) -> pa.Array:
    """Cells drawn from a pool of made-up ones."""
    return pick(rng, n, [make() for _ in range(min(n, size))])


def days(rng: Random, n: int, since: int, until: int) -> NDArray[np.int64]:
    """Random days between two years, as days since 1970."""
    start = np.datetime64(f"{since}-01-01").astype("datetime64[D]").astype(np.int64)
    end = np.datetime64(f"{until}-01-01").astype("datetime64[D]").astype(np.int64)
    return rng.integers(start, end, n)


def ymd(day: NDArray[np.int64]) -> Bytes:
    """Days as YYYYMMDD."""
    date = day.astype("datetime64[D]")
    year = date.astype("datetime64[Y]").astype(np.int64) + 1970
    month = date.astype("datetime64[M]").astype(np.int64) % 12 + 1
    of_month = (date - date.astype("datetime64[M]")).astype(np.int64) + 1
    return number(year * 10_000 + month * 100 + of_month, 8)


def id_cards(rng: Random, n: int) -> pa.Array:
    """Resident ID numbers with place, birth date and check character (Cites: GB 11643-1999).

    One in a hundred fails its check, one in two hundred is of the old fifteen digits, as in life.
    """
    matrix = digits(rng, n, 18)
    codes = np.array([list(code.encode()) for code, _ in PLACES], np.uint8)
    matrix[:, :6] = codes[rng.integers(0, len(codes), n)]
    matrix[:, 6:14] = ymd(days(rng, n, 1945, 2006))
    weights = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
    total = ((matrix[:, :17].astype(np.int64) - 48) * weights).sum(1) % 11
    matrix[:, 17] = np.frombuffer(b"10X98765432", np.uint8)[total]
    wrong = rng.random(n) < 0.01
    matrix[wrong, 17] = 48 + (matrix[wrong, 17] + 3) % 10
    cells = fixed(matrix)
    old = rng.random(n) < 0.005
    if not old.any():
        return cells
    texts = cells.to_numpy(zero_copy_only=False)
    texts[old] = [t[:6] + t[8:17] for t in texts[old]]
    return pa.array(texts, pa.string())


def cards(rng: Random, n: int) -> pa.Array:
    """Card numbers of nineteen digits in the 62 range that pass Luhn (Cites: ISO/IEC 7812-1)."""
    matrix = digits(rng, n, 19, "62")
    values = matrix[:, :18].astype(np.int64) - 48
    doubled = values[:, 1::2] * 2
    total = values[:, 0::2].sum(1) + (doubled - 9 * (doubled > 9)).sum(1)
    matrix[:, 18] = 48 + (10 - total % 10) % 10
    return fixed(matrix)


def credit_codes(rng: Random, n: int) -> pa.Array:
    """Unified social credit codes with their check character (Cites: GB 32100-2015)."""
    alphabet = np.frombuffer(b"0123456789ABCDEFGHJKLMNPQRTUWXY", np.uint8)
    values = rng.integers(0, 10, (n, 18))
    values[:, 0], values[:, 1] = 9, 1
    codes = np.array([[int(c) for c in code] for code, _ in PLACES])
    values[:, 2:8] = codes[rng.integers(0, len(codes), n)]
    values[:, 8] = rng.integers(10, 20, n)
    weights = np.array([3**i % 31 for i in range(17)])
    values[:, 17] = (31 - (values[:, :17] * weights).sum(1) % 31) % 31
    return fixed(alphabet[values])


def org_codes(rng: Random, n: int) -> pa.Array:
    """Organisation codes with hyphen and check character (Cites: GB 11714-1997)."""
    matrix = digits(rng, n, 10)
    weights = np.array([3, 7, 9, 10, 5, 8, 4, 2])
    check = 11 - ((matrix[:, :8].astype(np.int64) - 48) * weights).sum(1) % 11
    matrix[:, 8] = 45
    matrix[:, 9] = np.where(check == 10, 88, np.where(check == 11, 48, 48 + check % 11))
    return fixed(matrix)


def mobiles(rng: Random, n: int) -> pa.Array:
    """Mobile numbers."""
    matrix = digits(rng, n, 11, "1")
    matrix[:, 1] = rng.integers(51, 58, n)
    return fixed(matrix)


def names(rng: Random, n: int) -> pa.Array:
    """Names of persons."""
    one = pick(rng, n, [*SURNAMES, "欧阳", "司马", "诸葛"])
    two = pick(rng, n, [*GIVEN])
    three = pick(rng, n, [*GIVEN, *[""] * 25])
    return joined(one, two, three)


def joined(*parts: pa.Array) -> pa.Array:
    """Cells put together."""
    columns = [p.to_numpy(zero_copy_only=False).astype(object) for p in parts]
    total = columns[0]
    for column in columns[1:]:
        total = total + column
    return pa.array(total, pa.string())


def dirty(rng: Random, cells: pa.Array, share: float) -> pa.Array:
    """Blanks, dashes and words for nothing in a share of the cells."""
    chosen = rng.random(len(cells)) < share
    if not chosen.any():
        return cells
    texts = cells.to_numpy(zero_copy_only=False).astype(object)
    if not pa.types.is_string(cells.type):
        texts[chosen] = None
        return pa.array(texts, cells.type)
    texts[chosen] = np.array(["", "-", "无", "N/A", None], object)[
        rng.integers(0, 5, int(chosen.sum()))
    ]
    return pa.array(texts, pa.string())
