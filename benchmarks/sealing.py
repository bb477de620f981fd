"""Sealing files beside the provider: its cipher alone, its hash alone, and both in a plain loop.

Files lie in memory where the machine has ``/dev/shm``, so that no disk is measured; what copying
them costs is told apart.
"""

import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pingyao.platform.crypto import choose
from pingyao.platform.crypto.derive import Stretch
from pingyao.platform.crypto.keystore import create_keystore
from pingyao.platform.crypto.ports import Digest
from pingyao.protect.formats import sealing
from pingyao.protect.formats.sealed import CHUNK_BYTES, SUITES

Row = tuple[str, str, str, str]
_COMMAND = "python -m benchmarks.sealing"


def _seconds(work: Callable[[], object]) -> tuple[float, float, float]:
    """CPU-seconds, seconds, and CPU-seconds outside the kernel, which copies; the best of three."""
    best = (float("inf"), float("inf"), float("inf"))
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF)
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        own = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before.ru_utime
        best = min(best, (cpu, wall, own))
    return best


def run(quick: bool) -> list[Row]:
    """Measures; quick takes 64 MB instead of 512."""
    size = (64 if quick else 512) << 20
    rows: list[Row] = []
    shared = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as given:
        folder = Path(given)
        stretch = Stretch(os.urandom(16), 1, 1, 8)
        store = create_keystore(folder / "keys", "benchmarks only, no secret", stretch=stretch)
        store.create("k", "aes-256")
        piece = os.urandom(CHUNK_BYTES)
        source, target, back = folder / "source", folder / "target", folder / "back"
        with source.open("wb") as file:
            for _ in range(size // CHUNK_BYTES):
                file.write(piece)
        copied = _seconds(lambda: _copy(source, target))
        for suite, (cipher, hashed_by) in SUITES.items():
            key = bytes(32 if suite == "intl" else 16)
            aead, digest = choose.aead(cipher, key), choose.digest(hashed_by)
            out = memoryview(bytearray(CHUNK_BYTES + 16))
            times = range(size // CHUNK_BYTES)
            alone = _seconds(lambda: [aead.encrypt(bytes(12), piece, b"", out) for _ in times])  # noqa: B023
            hashed = _seconds(lambda: [digest(piece) for _ in times])  # noqa: B023

            def fresh(work: Callable[[], object], path: Path) -> Callable[[], object]:
                def once() -> object:
                    path.unlink(missing_ok=True)
                    return work()

                return once

            closed = _seconds(
                fresh(lambda: sealing.seal(source, target, store, ("k",), suite=suite), target)  # noqa: B023
            )
            opened = _seconds(fresh(lambda: sealing.open_(target, back, store), back))

            def row(what: str, target: str, measured: str, suite: str = suite) -> None:
                rows.append((f"{suite}: {what}", _COMMAND, target, measured))

            provider, hasher = (choose.choice(a).provider for a in (cipher, hashed_by))
            row(f"{cipher} alone, {provider}", "beside", _rate(size, alone))
            row(f"{hashed_by} alone, {hasher}", "beside", _rate(size, hashed))
            row("copying the file", "beside", _rate(size, copied))
            row("seal", "beside", _rate(size, closed))
            row("open", "beside", _rate(size, opened))
            share = (alone[2] + hashed[2]) / closed[2]
            looped = _seconds(lambda: _loop(source, target, aead.encrypt, digest))  # noqa: B023
            row("its cipher and hash in a plain loop over the file", "beside", _rate(size, looped))
            row("seal, of that loop (CPU)", "≥ 90 %", f"{looped[0] / closed[0]:.0%}")
            row("seal, of cipher and hash alone (CPU outside the kernel)", "≥ 90 %", f"{share:.0%}")
            row("seal, of that loop (elapsed)", "≥ 90 %", f"{looped[1] / closed[1]:.0%}")
            row(
                "seal, of cipher alone, no hash, no file (CPU; elapsed)",
                "≥ 90 %",
                f"{alone[0] / closed[0]:.0%}; {alone[1] / closed[1]:.0%}",
            )
            target.unlink()
            back.unlink()
    return rows


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with source.open("rb", buffering=0) as given, target.open("wb") as file:
        buffer = memoryview(bytearray(CHUNK_BYTES))
        while size := given.readinto(buffer):
            file.write(buffer[:size])
        file.flush()
        os.fsync(file.fileno())


def _loop(source: Path, target: Path, encrypt: Callable[..., object], digest: Digest) -> None:
    """What the library does to a file with nothing around it: no format, no tree, no second core."""
    target.unlink(missing_ok=True)
    buffer, out = (memoryview(bytearray(CHUNK_BYTES + 16)) for _ in range(2))
    with source.open("rb", buffering=0) as given, target.open("wb") as file:
        while size := given.readinto(buffer[:CHUNK_BYTES]):
            encrypt(bytes(12), buffer[:size], b"", out[: size + 16])
            digest(out[: size + 16])
            file.write(out[: size + 16])
        file.flush()
        os.fsync(file.fileno())


def _rate(size: int, seconds: tuple[float, float, float]) -> str:
    cpu, wall = (size / 1e6 / s for s in seconds[:2])
    return f"{cpu:,.0f} MB/CPU-s, {wall:,.0f} MB/s"


if __name__ == "__main__":
    for each in run(quick=False):
        print(" | ".join(each))
