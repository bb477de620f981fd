"""Two hundred people at once on one node: sign in, look, search, decide; one real server process on loopback.

Every person thinks one to three seconds between pages, and has a connection of her own. The server's
CPU is its process's; the load generator runs beside it on the same cores and is counted apart.
"""

import asyncio
import gc
import random
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.node import PASSWORD, cpu_of, make, served

Row = tuple[str, str, str, str]
_COMMAND = "python -m benchmarks users"
_USERS, _THINK = 200, (1.0, 3.0)
_ARRIVING = (
    60.0  # seconds over which people arrive: a password costs 64 MiB and a tenth of a second
)
# How often people do what, out of a thousand; some sign out and in again.
_MIX = (
    *[("overview", 150), ("queue", 200), ("search", 150), ("column", 250), ("decision", 150)],
    *[("account", 95), ("again", 5)],
)
_WORDS = ("cert", "mobile", "t_07", "acct_no", "core", "branch_3", "nosuch")


class _Visit:
    """One person's connection: HTTP/1.1 by hand, for a client must not cost more than the server."""

    def __init__(self, address: str, name: str, seen: "_Seen", columns: int, number: int) -> None:
        # Everybody has an address of her own, as in life: strangers are counted by it.
        self._from = f"127.0.{1 + number // 250}.{1 + number % 250}", 0
        self._host, _, port = address.removeprefix("http://").partition(":")
        self._port, self._name, self._seen, self._columns = int(port), name, seen, columns
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._cookie = self._csrf = ""

    async def stay(self, until: float, arrive: float) -> None:
        await asyncio.sleep(arrive)
        await self._sign_in()
        acts, weights = zip(*_MIX, strict=True)
        if self._name.startswith("audit"):
            acts, weights = ("audit", "again"), (995, 5)
        while time.monotonic() < until:
            await asyncio.sleep(random.uniform(*_THINK))  # noqa: S311
            act = random.choices(acts, weights)[0]  # noqa: S311
            await getattr(self, f"_{act}")()
        if self._writer is not None:
            self._writer.close()

    async def _sign_in(self) -> None:
        body = msgspec.json.encode({"name": self._name, "password": PASSWORD})
        status, head, said = await self._ask("sign-in", "POST", "/api/v1/session", body)
        if status == 201:
            line = next(x for x in head.split(b"\r\n") if x.lower().startswith(b"set-cookie:"))
            self._cookie = line[11:].split(b";")[0].strip().decode()
            self._csrf = msgspec.json.decode(said)["csrf"]

    async def _again(self) -> None:
        await self._ask("sign-out", "DELETE", "/api/v1/session")
        self._cookie = self._csrf = ""
        await self._sign_in()

    async def _overview(self) -> None:
        await self._ask("overview", "GET", "/")

    async def _queue(self) -> None:
        after = random.randrange(self._columns)  # noqa: S311
        await self._ask("queue", "GET", f"/catalogue?state=review&after={after}")

    async def _search(self) -> None:
        await self._ask("search", "GET", f"/catalogue?words={random.choice(_WORDS)}")  # noqa: S311

    async def _column(self) -> None:
        number = random.randrange(1, self._columns)  # noqa: S311
        await self._ask("column", "GET", f"/catalogue/{number}")

    async def _decision(self) -> None:
        number = random.randrange(1, self._columns)  # noqa: S311
        path = f"/api/v1/catalogue/columns/{number}"
        status, _, said = await self._ask("column (API)", "GET", path)
        if status != 200:
            return
        version = msgspec.json.decode(said)["entry"]["version"]
        body = msgspec.json.encode([{"column": number, "version": version, "reason": "复核无误"}])
        await self._ask("decision", "POST", "/api/v1/catalogue/decisions", body)

    async def _account(self) -> None:
        await self._ask("account", "GET", "/account")

    async def _audit(self) -> None:
        await self._ask("audit", "GET", "/audit")

    async def _ask(
        self, what: str, method: str, path: str, body: bytes = b""
    ) -> tuple[int, bytes, bytes]:
        began = time.perf_counter()
        try:
            status, head, said = await asyncio.wait_for(self._exchange(method, path, body), 30)
        except (OSError, EOFError, TimeoutError) as error:
            self._seen.errors[f"{what}: {type(error).__name__}"] += 1
            if self._writer is not None:
                self._writer.close()
            self._reader = self._writer = None
            return 0, b"", b""
        self._seen.times[what].append(time.perf_counter() - began)
        if status >= 400:
            self._seen.errors[f"{what}: {status}"] += 1
        return status, head, said

    async def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, bytes, bytes]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self._host, self._port, local_addr=self._from
            )
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n"
        head += f"cookie: {self._cookie}\r\nx-csrf-token: {self._csrf}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        said = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(x[15:]) for x in said.split(b"\r\n") if x.lower().startswith(b"content-length:")),
            0,
        )
        content = await self._reader.readexactly(length) if length else b""
        if b"connection: close" in said.lower():
            self._writer.close()
            self._reader = self._writer = None
        return int(said[9:12]), said, content


class _Seen:
    """What everybody saw."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self.errors: dict[str, int] = defaultdict(int)


def run(quick: bool) -> list[Row]:
    """Measures; quick is a smaller catalogue, fewer people and half a minute."""
    columns, users, seconds = (10_000, 50, 30) if quick else (100_000, _USERS, 300)
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), columns, users)
        return measure(Path(folder), columns, users, seconds)


def measure(folder: Path, columns: int, users: int, seconds: float) -> list[Row]:
    """Measures the node in a folder."""
    seen = _Seen()
    with served(folder) as (address, process):
        spent, own = cpu_of(process), time.process_time()
        began = time.monotonic()
        asyncio.run(_everybody(address, seen, columns, users, seconds))
        whole = time.monotonic() - began
        cpu, own = cpu_of(process) - spent, time.process_time() - own
        peak = _peak(process)
    times = sorted(t for each in seen.times.values() for t in each)
    what = f"{users} 人同时使用 {seconds:.0f} 秒，{columns:,} 列"
    errors = "，".join(f"{k} {n}" for k, n in seen.errors.items()) or "无"
    measured = (
        f"{len(times):,} 次请求，错误：{errors}；{_spread(times)}；服务端 CPU {cpu / whole:.2f} 核"
        f"（每请求 {cpu / len(times) * 1e3:.1f} ms），客户端 {own / whole:.2f} 核，峰值内存 {peak} MB"
    )
    rows = [(what, _COMMAND, "无错误，p95 ≤ 300 ms", measured)]
    for name, each in sorted(seen.times.items()):
        rows.append((f"其中 {name}", _COMMAND, "—", f"{len(each):,} 次，{_spread(sorted(each))}"))
    return rows


async def _everybody(address: str, seen: _Seen, columns: int, users: int, seconds: float) -> None:
    gc.freeze()
    until = time.monotonic() + seconds
    arriving = min(_ARRIVING, seconds / 2)
    names = ["audit1"] * (users // 20) + [f"user{n}" for n in range(users - users // 20)]
    visits = [_Visit(address, name, seen, columns, n) for n, name in enumerate(names)]
    await asyncio.gather(
        *(v.stay(until, random.uniform(0, arriving)) for v in visits)  # noqa: S311
    )


def _spread(times: Sequence[float]) -> str:
    if not times:
        return "—"
    at = (times[int(len(times) * q)] * 1e3 for q in (0.5, 0.95, 0.99))
    return "p50/p95/p99 " + "/".join(f"{t:.0f}" for t in at) + " ms"


def _peak(process: int) -> int:
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    for row in run(quick=True):
        print(row)
