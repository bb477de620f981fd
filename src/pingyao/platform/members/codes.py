"""Codes that institutions are known by, checked as far as they can be.

Cites: GB 32100-2015 (unified social credit code, with check character); 金融机构编码规范, 银发〔2009〕363号 and
JR/T 0124-2014 (14 characters; 待核对: the algorithm of its check character is not known here, so the shape
alone is checked); GB/T 2260-2007 (division codes, six digits; not looked up).
"""

import re
from urllib.parse import urlsplit

from pingyao.kernel.errors import Invalid
from pingyao.platform.members.model import Profile

KINDS = ("bank", "insurer", "securities", "trust", "payment", "financing", "regulator", "other")
NEAR = ("127.0.0.1", "::1", "localhost")
"""Names of this machine itself."""
_CODE = re.compile(r"[A-Z][0-9A-Z]{13}")
_REGION = re.compile(r"[1-9][0-9]{5}")
_MOST_NAME, _MOST_ADDRESS = 100, 200


def uscc(given: str) -> str:
    """Returns a unified social credit code in its one form.

    Raises:
        Invalid: its length, an impossible character or the check character.
    """
    import numpy as np

    from pingyao.platform import checks

    code = given.strip().upper()
    held = np.frombuffer(code.encode(), np.uint8)
    if len(held) != 18 or checks.uscc(held.ctypes.data, 0, len(held)) != 2:
        raise Invalid(
            "members.bad_uscc", "统一社会信用代码的校验位不符", "请核对 18 位代码（GB 32100-2015）"
        )
    return code


def profile(given: Profile) -> Profile:
    """Returns what an institution says of itself, in one form.

    Raises:
        Invalid: something in it cannot be.
    """
    name = " ".join(given.name.split())
    if not 1 <= len(name) <= _MOST_NAME or not name.isprintable():
        raise Invalid("members.bad_name", "机构名称须为 1 至 100 个可见字符", "请改正机构名称")
    code, region = given.code.strip().upper(), given.region.strip()
    if code and not _CODE.fullmatch(code):
        raise Invalid(
            "members.bad_code",
            "金融机构编码写法有误",
            "应为 14 位，首位是大写字母，其余是数字或大写字母",
        )
    if region and not _REGION.fullmatch(region):
        raise Invalid("members.bad_region", "地区代码写法有误", "应为 GB/T 2260 的 6 位数字")
    if given.kind not in KINDS or given.role not in ("member", "centre"):
        raise Invalid("members.bad_kind", "没有这种机构类型", f"可用：{'、'.join(KINDS)}")
    return Profile(
        name, uscc(given.uscc), given.role, code, given.kind, region, address(given.address)
    )


def address(given: str) -> str:
    """Returns the address of a node without a trailing slash; empty stays empty.

    Raises:
        Invalid: it is no ``https`` address; ``http`` is for the same machine only.
    """
    given = given.strip().rstrip("/")
    if not given:
        return ""
    try:
        parts = urlsplit(given)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    plain = parts.scheme == "http" and host in NEAR
    extra = parts.path or parts.query or parts.fragment or parts.username is not None
    fine = (plain or parts.scheme == "https") and host and port != 0 and not extra
    if not fine or len(given) > _MOST_ADDRESS or not (given.isascii() and given.isprintable()):
        raise Invalid(
            "members.bad_address",
            "节点地址写法有误",
            "形如 https://node.bank.example:8443；只有本机回环可用 http",
        )
    return given
