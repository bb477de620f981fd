"""Second factors: TOTP (RFC 6238), its secret sealed at rest, each code taken once."""

import secrets

from pingyao.platform import nodekey

_STEP = 30


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


def seal(key: bytes, secret: str, account: int) -> bytes:
    """Encrypts a secret for one account (AES-256-GCM)."""
    return nodekey.seal(key, secret.encode(), b"totp:%d" % account)


def unseal(key: bytes, sealed: bytes, account: int) -> str:
    """Decrypts the secret of an account.

    Raises:
        IntegrityBroken: another key, another account, or changed bytes.
    """
    return nodekey.unseal(key, sealed, b"totp:%d" % account).decode()
