"""The strict small parts that the text formats share."""

import base64
import binascii
import re

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.rules.proofs import MOST

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


def malformed(what: str, detail: str) -> IntegrityBroken:
    """Returns the error for evidence that cannot be read."""
    return IntegrityBroken(
        f"ledger.{what}.malformed", detail, "文件可能被截断或改动，请从原出处重新取得"
    )


def decimal(text: str) -> int:
    """Reads a number as these formats write it: ASCII digits, no leading zero, below 2⁶³.

    Raises:
        ValueError: it is written otherwise.
    """
    if not _DECIMAL.fullmatch(text) or int(text) > MOST:
        raise ValueError("no such number")
    return int(text)


def unbase64(text: str, length: int | None = None) -> bytes:
    """Reads canonical Base64: one text for one value.

    Raises:
        ValueError: it is written otherwise, or is not so many bytes.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("no Base64") from None
    if base64.b64encode(data).decode() != text or length not in (None, len(data)):
        raise ValueError("no canonical Base64 of this length")
    return data


def to_base64(data: bytes) -> str:
    """Writes Base64 as these formats do."""
    return base64.b64encode(data).decode()
