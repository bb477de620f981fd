"""Tokens of a time-stamping authority that is OpenSSL; forged and foreign ones are refused."""

import asyncio
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pingyao.kernel.errors import IntegrityBroken, Invalid, Unavailable
from pingyao.ledger import timestamps
from pingyao.platform.asgi import Reply, Request
from serving import serving

CONFIG = """
[tsa]
default_tsa = t
[t]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
[v3]
extendedKeyUsage = critical, timeStamping
keyUsage = critical, digitalSignature
basicConstraints = CA:FALSE
"""
MESSAGE = b"bank.example/evidence\n4\nAAAA\n"


class Authority:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "c").write_text(CONFIG)
        self.openssl(
            "req",
            "-x509",
            "-newkey",
            "ed25519",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-subj",
            "/CN=root",
            "-days",
            "2",
        )
        self.openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", "r", "-subj", "/CN=tsa"
        )
        self.openssl(
            "x509",
            "-req",
            "-in",
            "r",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            "cert",
            "-days",
            "2",
            "-extfile",
            "c",
            "-extensions",
            "v3",
        )
        (folder / "serial").write_text("01\n")

    def openssl(self, *words: str) -> None:
        done = subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, timeout=60)  # noqa: S607 - found by PATH, as a person would
        assert done.returncode == 0, done.stderr

    async def answer(self, request: Request) -> Reply:
        assert request.headers["content-type"] == "application/timestamp-query"
        (self.folder / "q").write_bytes(await request.body(100_000))
        words = [
            "ts",
            "-reply",
            "-config",
            "c",
            "-queryfile",
            "q",
            "-signer",
            "cert",
            "-inkey",
            "k",
            "-out",
            "a",
        ]
        await asyncio.to_thread(self.openssl, *words)
        return Reply(200, (self.folder / "a").read_bytes(), "application/timestamp-reply")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "one")


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    with serving(authority.answer) as address:
        yield address


def test_a_token_is_checked_kept_and_checked_again(
    url: str, authority: Authority, tmp_path: Path
) -> None:
    roots = timestamps.read_roots(authority.folder / "ca.pem")
    token = timestamps.stamp(url, MESSAGE, roots)
    timestamps.keep(tmp_path, 4, token)
    assert timestamps.kept(tmp_path, 5) is None
    kept = timestamps.kept(tmp_path, 4)
    assert kept == token
    assert abs((timestamps.check(kept, MESSAGE, roots) - datetime.now(UTC)).total_seconds()) < 600
    (authority.folder / "m").write_bytes(MESSAGE)
    (authority.folder / "t").write_bytes(token)
    authority.openssl("ts", "-verify", "-in", "t", "-data", "m", "-CAfile", "ca.pem")


def test_what_is_no_token_over_this_message_by_this_authority(
    url: str, authority: Authority, tmp_path: Path
) -> None:
    roots = timestamps.read_roots(authority.folder / "ca.pem")
    token = timestamps.stamp(url, MESSAGE, roots)
    other = timestamps.read_roots(Authority(tmp_path / "two").folder / "ca.pem")
    damaged = token[:-40] + bytes([token[-40] ^ 1]) + token[-39:]
    for bad, message, trusted in (
        (token, MESSAGE + b"x", roots),
        (token, MESSAGE, other),
        (damaged, MESSAGE, roots),
        (b"", MESSAGE, roots),
        (b"\x30\x03\x02\x01\x00", MESSAGE, roots),
    ):
        with pytest.raises(IntegrityBroken):
            timestamps.check(bad, message, trusted)


def test_an_authority_that_answers_something_else(authority: Authority, tmp_path: Path) -> None:
    roots = timestamps.read_roots(authority.folder / "ca.pem")

    async def old(request: Request) -> Reply:
        """Replays an answer to somebody else's question."""
        await request.body(100_000)
        return Reply(200, (authority.folder / "a").read_bytes())

    async def refuse(request: Request) -> Reply:
        return Reply(503)

    with serving(authority.answer) as address:
        timestamps.stamp(address, MESSAGE, roots)
    with serving(old) as address, pytest.raises(IntegrityBroken):
        timestamps.stamp(address, MESSAGE, roots)
    with serving(refuse) as address, pytest.raises(Unavailable):
        timestamps.stamp(address, MESSAGE, roots)
    (tmp_path / "x").write_text("no certificate")
    for name in ("x", "none"):
        with pytest.raises(Invalid):
            timestamps.read_roots(tmp_path / name)
