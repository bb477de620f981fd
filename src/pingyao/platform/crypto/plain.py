"""The plain provider: the package ``cryptography``, with the OpenSSL it carries."""

import cryptography
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.backends.openssl.backend import backend
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SM3, Hash, HashAlgorithm

from pingyao.kernel.errors import IntegrityBroken
from pingyao.platform.crypto.ports import TAG_BYTES, Blocks, Buffer, Digest, Octets, Provider


def bad_tag() -> IntegrityBroken:
    """Returns what is raised when a tag does not fit."""
    return IntegrityBroken(
        "crypto.bad_tag",
        "密文未通过校验：密钥不符，或内容被改动",
        "请核对所用密钥；如密钥无误，请取未经改动的副本",
    )


class AesGcm:
    """AES-256-GCM."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, nonce: bytes, text: Buffer, aad: bytes, out: memoryview) -> None:
        """See `ports.Aead`."""
        self._cipher.encrypt_into(nonce, text, aad, out)

    def decrypt(self, nonce: bytes, sealed: Buffer, aad: bytes, out: memoryview) -> None:
        """See `ports.Aead`."""
        if len(sealed) < TAG_BYTES:
            raise bad_tag()
        try:
            self._cipher.decrypt_into(nonce, sealed, aad, out[: len(sealed) - TAG_BYTES])
        except InvalidTag:
            out[:] = bytes(len(out))
            raise bad_tag() from None


class Sm4Gcm:
    """SM4-GCM."""

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.SM4(key)

    def encrypt(self, nonce: bytes, text: Buffer, aad: bytes, out: memoryview) -> None:
        """See `ports.Aead`."""
        context = Cipher(self._algorithm, modes.GCM(nonce)).encryptor()
        context.authenticate_additional_data(aad)
        size = context.update_into(text, out)
        context.finalize()
        out[size : size + TAG_BYTES] = context.tag

    def decrypt(self, nonce: bytes, sealed: Buffer, aad: bytes, out: memoryview) -> None:
        """See `ports.Aead`."""
        view = memoryview(sealed)
        if len(view) < TAG_BYTES:
            raise bad_tag()
        tag = bytes(view[-TAG_BYTES:])
        context = Cipher(self._algorithm, modes.GCM(nonce, tag)).decryptor()
        context.authenticate_additional_data(aad)
        context.update_into(view[:-TAG_BYTES], out)
        try:
            context.finalize()
        except InvalidTag:
            out[:] = bytes(len(out))
            raise bad_tag() from None


def _blocks(algorithm: algorithms.AES | algorithms.SM4) -> Blocks:
    context: CipherContext = Cipher(algorithm, modes.ECB()).encryptor()  # noqa: S305 - FF1 asks for single blocks

    def encrypt(source: Octets, target: Octets) -> None:
        context.update_into(source.data, target.data)

    return encrypt


def _digest(algorithm: HashAlgorithm) -> Digest:
    def digest(data: Buffer) -> bytes:
        state = Hash(algorithm)
        state.update(data)
        return state.finalize()

    return digest


def provider() -> Provider:
    """Returns what ``cryptography`` offers."""
    return Provider(
        "cryptography",
        f"{cryptography.__version__} ({backend.openssl_version_text().split(' ', 2)[1]})",
        {"aes-256-gcm": AesGcm, "sm4-gcm": Sm4Gcm},
        {
            "aes": lambda key: _blocks(algorithms.AES(key)),
            "sm4": lambda key: _blocks(algorithms.SM4(key)),
        },
        {"sha256": _digest(SHA256()), "sm3": _digest(SM3())},
    )
