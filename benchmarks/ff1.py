"""FF1 and tokens beside the packages one would otherwise take; CPU-seconds of one process."""

import hmac
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from pingyao.platform.crypto import choose
from pingyao.protect.rules.ff1 import Scheme, encrypt_column
from pingyao.protect.rules.keyed import Prf
from pingyao.protect.rules.tokens import token_column

Row = tuple[str, str, str, str]
_KEY = bytes(range(16))
_COMMAND = "python -m benchmarks.ff1"


def _per_second(work: Callable[[], object], values: int, times: int = 3) -> float:
    work()
    best = float("inf")
    for _ in range(times):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return values / best


def _numbers(count: int, digits: int) -> pa.Array:
    drawn = np.random.default_rng(7).integers(48, 58, (count, digits)).astype(np.uint8)
    offsets = np.arange(count + 1, dtype=np.int32) * digits
    return pa.Array.from_buffers(
        pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(drawn.tobytes())]
    )


def run(quick: bool) -> list[Row]:
    """Measures; quick takes a tenth of the values."""
    count = 100_000 if quick else 1_000_000
    numbers = _numbers(count, 16)
    rows: list[Row] = []

    def row(what: str, target: str, rate: float) -> None:
        rows.append((what, _COMMAND, target, f"{rate / 1e6:.3g} M/s"))

    def column(algorithm: str, provider: str | None) -> float:
        cipher = choose.block_cipher(algorithm, provider)
        return _per_second(
            lambda: encrypt_column(numbers, Scheme("text"), _KEY, b"card", cipher), count
        )

    row("FF1-AES, 16 digits", "≥ 4 M/s", column("aes", None))
    row("FF1-SM4, 16 digits, cryptography", "≥ 0.7 M/s", column("sm4", "cryptography"))
    if any(p.name == "libgcrypt" for p in choose.providers()):
        row("FF1-SM4, 16 digits, libgcrypt", "≥ 2 M/s", column("sm4", "libgcrypt"))
    for name, rate in _peers(numbers[: count // 50].to_pylist()):
        row(f"16 digits, {name}", "beside", rate)
    for algorithm in ("sha256", "sm3"):
        rate = _per_second(lambda: token_column(numbers, Prf(algorithm, _KEY * 2)), count)  # noqa: B023
        row(f"tokens, HMAC-{algorithm.upper()}, 100 bits", "beside", rate)
    cells = [v.encode() for v in numbers[: count // 10].to_pylist()]
    rate = _per_second(lambda: [hmac.digest(_KEY, c, "sha256") for c in cells], len(cells))
    row("HMAC-SHA256 in a loop, standard library", "beside", rate)
    return rows


def _peers(values: list[str]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    try:
        from ff3 import FF3Cipher

        ff3 = FF3Cipher(_KEY.hex(), "D8E7920AFA330A")
        rate = _per_second(lambda: [ff3.encrypt(v) for v in values], len(values), 1)
        found.append(("ff3 (FF3-1, AES)", rate))
    except ImportError:
        pass
    try:
        import pyffx

        other = pyffx.String(_KEY, alphabet="0123456789", length=16)
        rate = _per_second(lambda: [other.encrypt(v) for v in values], len(values), 1)
        found.append(("pyffx (FFX, HMAC-SHA1)", rate))
    except ImportError:
        pass
    return found


if __name__ == "__main__":
    for each in run(quick=False):
        print(" | ".join(each))
