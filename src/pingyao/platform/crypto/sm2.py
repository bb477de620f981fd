"""SM2 with SM3 from the system's OpenSSL, loaded when first used.

`cryptography` offers no SM2, and the wheels that do embed libraries no longer maintained. The OpenSSL of
the operating system is kept by its vendor and exists for every processor the product runs on.

Cites: GB/T 32918.2-2016 (signature), GB/T 32918.4-2016 (encryption), GB/T 35276-2017 (identity, DER form of
signatures and ciphertexts).
"""

import ctypes
import ctypes.util
import os
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_size_t, c_void_p
from functools import cache

from pingyao.kernel.errors import Invalid, Unsupported
from pingyao.platform.crypto.signers import Algorithm

# GB/T 35276: the identity where the parties agreed on no other.
_IDENTITY = b"1234567812345678"
_ORDER = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
# id-ecPublicKey with curve 1.2.156.10197.1.301, around a scalar (PKCS #8) and around a point (SPKI).
_NAMED = bytes.fromhex("301306072a8648ce3d020106082a811ccf5501822d")
_PKCS8 = bytes.fromhex("3041020100") + _NAMED + bytes.fromhex("042730250201010420")
_SPKI = bytes.fromhex("3059") + _NAMED + bytes.fromhex("034200")
_NAMES = ("libcrypto.so.3", "libcrypto.so.4", "libcrypto.3.dylib")
_FUNCTIONS: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "d2i_AutoPrivateKey": (c_void_p, (c_void_p, POINTER(c_char_p), c_long)),
    "d2i_PUBKEY": (c_void_p, (c_void_p, POINTER(c_char_p), c_long)),
    "i2d_PUBKEY": (c_int, (c_void_p, POINTER(c_void_p))),
    "EVP_PKEY_free": (None, (c_void_p,)),
    "EVP_PKEY_CTX_new": (c_void_p, (c_void_p, c_void_p)),
    "EVP_PKEY_CTX_free": (None, (c_void_p,)),
    "EVP_PKEY_encrypt_init": (c_int, (c_void_p,)),
    "EVP_PKEY_encrypt": (c_int, (c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t)),
    "EVP_PKEY_decrypt_init": (c_int, (c_void_p,)),
    "EVP_PKEY_decrypt": (c_int, (c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t)),
    "EVP_PKEY_CTX_set1_id": (c_int, (c_void_p, c_char_p, c_size_t)),
    "EVP_MD_CTX_new": (c_void_p, ()),
    "EVP_MD_CTX_free": (None, (c_void_p,)),
    "EVP_MD_CTX_set_pkey_ctx": (None, (c_void_p, c_void_p)),
    "EVP_sm3": (c_void_p, ()),
    "EVP_DigestSignInit": (c_int, (c_void_p,) * 5),
    "EVP_DigestSign": (c_int, (c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t)),
    "EVP_DigestVerifyInit": (c_int, (c_void_p,) * 5),
    "EVP_DigestVerify": (c_int, (c_void_p, c_char_p, c_size_t, c_char_p, c_size_t)),
    "ERR_clear_error": (None, ()),
}


@cache
def _library() -> ctypes.CDLL:
    for name in (*_NAMES, ctypes.util.find_library("crypto")):
        try:
            library = ctypes.CDLL(name) if name else None
            if library is None:
                continue
            for function, (result, arguments) in _FUNCTIONS.items():
                bound = getattr(library, function)
                bound.restype, bound.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        return library
    raise Unsupported(
        "crypto.no_sm2", "本机没有 OpenSSL 3（libcrypto），无法使用 SM2", "请安装系统的 OpenSSL 3"
    )


def generate() -> bytes:
    """Returns a new scalar, uniform in 1 … n-2."""
    while True:
        secret = os.urandom(32)
        if 1 <= int.from_bytes(secret) <= _ORDER - 2:
            return secret


class _Key:
    """A key in the library's own form; as many threads as like may use it."""

    def __init__(self, read: str, der: bytes) -> None:
        library = _library()
        at = c_char_p(der)
        self.handle: int = getattr(library, read)(None, byref(at), len(der))
        if not self.handle:
            library.ERR_clear_error()
            raise ValueError("no SM2 key")
        weakref.finalize(self, library.EVP_PKEY_free, self.handle)


class Sm2Signer:
    """A software SM2 key.

    Raises:
        Invalid: the scalar is outside 1 … n-2.
    """

    algorithm = Algorithm.SM2

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32 or not 1 <= int.from_bytes(secret) <= _ORDER - 2:
            raise Invalid("crypto.bad_key", "SM2 私钥不在允许的范围内", "请核对密钥文件")
        self._key = _Key("d2i_AutoPrivateKey", _PKCS8 + secret)
        out = ctypes.create_string_buffer(len(_SPKI) + 65)
        at = c_void_p(ctypes.addressof(out))
        if _library().i2d_PUBKEY(self._key.handle, byref(at)) != len(out):
            raise _failed()
        self.public_key = out.raw[-65:]

    def sign(self, message: bytes, /) -> bytes:
        """Signs a message under the default identity; DER of r and s."""
        library = _library()
        length = c_size_t(80)
        out = ctypes.create_string_buffer(80)
        key = self._key.handle
        with _context(key) as context:
            if (
                library.EVP_DigestSignInit(context, None, library.EVP_sm3(), None, key) != 1
                or library.EVP_DigestSign(context, out, byref(length), message, len(message)) != 1
            ):
                raise _failed()
        return out.raw[: length.value]


def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Checks a signature under the default identity.

    Raises:
        ValueError: the point is not on the curve, or the signature does not match.
    """
    library = _library()
    key = _Key("d2i_PUBKEY", _SPKI + public_key)
    with _context(key.handle) as context:
        if library.EVP_DigestVerifyInit(context, None, library.EVP_sm3(), None, key.handle) != 1:
            raise _failed()
        found = library.EVP_DigestVerify(context, signature, len(signature), message, len(message))
        library.ERR_clear_error()
        if found != 1:
            raise ValueError("signature does not match")


class Sm2PublicKey:
    """A key to encrypt for.

    Raises:
        ValueError: the point is not on the curve.
    """

    def __init__(self, point: bytes) -> None:
        if len(point) != 65:
            raise ValueError("no uncompressed point")
        self.point = point
        self._key = _Key("d2i_PUBKEY", _SPKI + point)

    def encrypt(self, message: bytes) -> bytes:
        """Encrypts something short, such as a key; SM2Cipher in DER."""
        return _crypt("encrypt", self._key.handle, message)


class Sm2PrivateKey:
    """A key to decrypt with.

    Raises:
        Invalid: the scalar is outside 1 … n-2.
    """

    def __init__(self, secret: bytes) -> None:
        self.public_key = Sm2PublicKey(Sm2Signer(secret).public_key)
        self._key = _Key("d2i_AutoPrivateKey", _PKCS8 + secret)

    def decrypt(self, sealed: bytes) -> bytes:
        """Decrypts.

        Raises:
            ValueError: it was encrypted for another key, or changed.
        """
        if not _is_one_value(sealed):  # the library would pass over what follows
            raise ValueError("no SM2 ciphertext")
        return _crypt("decrypt", self._key.handle, sealed)


def _is_one_value(der: bytes) -> bool:
    """Tells whether this is one value of DER and nothing after it."""
    if len(der) < 2:
        return False
    more = der[1] & 0x7F if der[1] & 0x80 else 0
    length = int.from_bytes(der[2 : 2 + more]) if more else der[1]
    return len(der) == 2 + more + length


def _crypt(how: str, key: int, data: bytes) -> bytes:
    library = _library()
    context = library.EVP_PKEY_CTX_new(key, None)
    try:
        if not context or getattr(library, f"EVP_PKEY_{how}_init")(context) != 1:
            raise _failed()
        run, length = getattr(library, f"EVP_PKEY_{how}"), c_size_t(0)
        if run(context, None, byref(length), data, len(data)) != 1:
            raise ValueError("no SM2 ciphertext")
        out = ctypes.create_string_buffer(length.value)
        if run(context, out, byref(length), data, len(data)) != 1:
            raise ValueError("not for this key, or changed")
        return out.raw[: length.value]
    finally:
        library.ERR_clear_error()
        library.EVP_PKEY_CTX_free(context)


@contextmanager
def _context(key: int) -> Generator[int]:
    """Gives a digest context that knows the signer's identity."""
    library = _library()
    context = library.EVP_MD_CTX_new()
    inner = library.EVP_PKEY_CTX_new(key, None)
    try:
        if not context or not inner:
            raise _failed()
        if library.EVP_PKEY_CTX_set1_id(inner, _IDENTITY, len(_IDENTITY)) != 1:
            raise _failed()
        library.EVP_MD_CTX_set_pkey_ctx(context, inner)
        yield context
    finally:
        library.EVP_MD_CTX_free(context)
        library.EVP_PKEY_CTX_free(inner)


def _failed() -> Unsupported:
    _library().ERR_clear_error()
    return Unsupported(
        "crypto.no_sm2", "本机的 OpenSSL 不提供 SM2", "请安装启用了 SM2 的 OpenSSL 3"
    )
