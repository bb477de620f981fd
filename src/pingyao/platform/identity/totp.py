"""Second factors: TOTP (RFC 6238), its secret sealed at rest, each code taken once."""

import os
import secrets
from pathlib import Path

from pingyao.kernel.errors import IntegrityBroken, NotFound
from pingyao.platform.files import write_atomically

_STEP = 30
_NONCE = 12


def make_secret() -> str:
    """Returns a new secret, 160 bits in Base32."""
    import pyotp

    return pyotp.random_base32(32)


def address(secret: str, name: str, issuer: str) -> str:
    """Returns what an authenticator app reads from a QR code."""
    from pyotp.totp import TOTP

    return TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


def picture(text: str) -> str:
    """Returns a QR code as SVG, made here."""
    import segno

    return segno.make(text, error="m").svg_inline(scale=5, border=3, light="#fff", omitsize=False)


def accepted(secret: str, code: str, now: int, last: int) -> int | None:
    """Returns the time step a code belongs to, None if it is wrong or was taken before.

    Args:
        secret: in Base32.
        code: six digits.
        now: seconds since the epoch; one step earlier or later is let pass.
        last: the latest step a code was taken for.
    """
    from pyotp.totp import TOTP

    code = code.strip().replace(" ", "")
    if not (code.isascii() and code.isdigit() and len(code) == 6):
        return None
    totp = TOTP(secret)
    for step in (now // _STEP + d for d in (0, -1, 1)):
        if step > last and secrets.compare_digest(totp.generate_otp(step), code):
            return step
    return None


def default_key() -> Path:
    """Returns where the node's own key is kept: beside the user's data, never in the database."""
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return home / "pingyao" / "node.key"


def make_key(path: Path) -> bytes:
    """Makes the key that second factors are sealed with; mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = secrets.token_bytes(32)
    write_atomically(path, key.hex().encode() + b"\n")
    return key


def read_key(path: Path) -> bytes:
    """Reads the node's key.

    Raises:
        NotFound: there is none, or it is damaged.
    """
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError):
        key = b""
    if len(key) != 32:
        raise NotFound(
            "node.no_key",
            f"节点密钥文件 {path.name} 不存在或已损坏",
            "请先运行 pingyao node init，或用 --key 指明该文件",
        )
    return key


def seal(key: bytes, secret: str, account: int) -> bytes:
    """Encrypts a secret for one account (AES-256-GCM)."""
    return seal_bytes(key, secret.encode(), b"totp:%d" % account)


def unseal(key: bytes, sealed: bytes, account: int) -> str:
    """Decrypts the secret of an account.

    Raises:
        IntegrityBroken: another key, another account, or changed bytes.
    """
    return unseal_bytes(key, sealed, b"totp:%d" % account).decode()


def seal_bytes(key: bytes, plain: bytes, about: bytes) -> bytes:
    """Encrypts what the database may hold but not show; it opens for the same purpose alone."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, about)


def unseal_bytes(key: bytes, sealed: bytes, about: bytes) -> bytes:
    """Decrypts what was sealed for this purpose.

    Raises:
        IntegrityBroken: another key, another purpose, or changed bytes.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], about)
    except InvalidTag:
        raise IntegrityBroken(
            "identity.broken_secret",
            "动态口令的密钥无法解开",
            "请核对节点密钥文件是否与数据库相配；否则请重置该账号",
        ) from None
