"""Time from somebody outside: RFC 3161 tokens over the text of published heads.

Cites: RFC 3161, 2.4 and 3.4.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from rfc3161_client import (
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from pingyao.kernel.errors import IntegrityBroken, Invalid, Unavailable
from pingyao.ledger.remote import Remote
from pingyao.platform.files import write_atomically

_FOLDER = "timestamps"


def read_roots(path: Path) -> list[x509.Certificate]:
    """Reads the certificates of time-stamping authorities that are trusted.

    Raises:
        Invalid: there are none in the file.
    """
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        raise Invalid(
            "ledger.tsa_root", f"{path.name} 不是 PEM 证书", "请给出时间戳机构的根证书"
        ) from None


def stamp(url: str, message: bytes, roots: Sequence[x509.Certificate]) -> bytes:
    """Gets a token over a message and checks it before it is kept.

    Returns:
        The response of the authority, DER.

    Raises:
        Unavailable: the authority does not answer, or refuses.
        IntegrityBroken: what it answers does not verify.
    """
    request = TimestampRequestBuilder().data(message).nonce(nonce=True).build()
    remote = Remote(url, seconds=15)
    try:
        answer = remote.post(
            "", request.as_bytes(), {"content-type": "application/timestamp-query"}
        )
    finally:
        remote.close()
    if answer.status != 200:
        raise Unavailable(
            "ledger.tsa_refuses", f"时间戳机构答复 {answer.status}", "请核对地址与账号"
        )
    check(answer.body, message, roots, nonce=request.nonce)
    return answer.body


def check(
    response: bytes,
    message: bytes,
    roots: Sequence[x509.Certificate],
    *,
    nonce: int | None = None,
) -> datetime:
    """Checks a token and returns its time.

    Raises:
        IntegrityBroken: it is over another message, or not by a trusted authority.
    """
    verifier = VerifierBuilder(roots=list(roots), nonce=nonce).build()
    try:
        decoded = decode_timestamp_response(response)
        verifier.verify_message(decoded, message)
        return decoded.tst_info.gen_time
    except (VerificationError, ValueError):
        raise IntegrityBroken(
            "ledger.tsa_invalid", "时间戳令牌与检查点或所信任的机构不符", "请重新取得，并核对根证书"
        ) from None


def keep(folder: Path, size: int, response: bytes) -> Path:
    """Keeps a token beside the log."""
    path = folder / _FOLDER / f"{size}.tsr"
    path.parent.mkdir(exist_ok=True, mode=0o700)
    write_atomically(path, response)
    return path


def kept(folder: Path, size: int) -> bytes | None:
    """Returns the token over the head of a size, if there is one."""
    path = folder / _FOLDER / f"{size}.tsr"
    return path.read_bytes() if path.exists() else None
