"""What a node tells Prometheus, and where."""

import ipaddress
import time
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from pingyao.kernel.errors import Invalid, PingyaoError
from pingyao.ledger.store.reader import CHECKPOINT, read_checkpoint, read_policy
from pingyao.platform.crypto.passphrases import from_file
from pingyao.platform.settings import load_settings
from pingyao.platform.telemetry import Telemetry, serve_metrics


def counted(engine: sa.Engine, address: str, token: Path | None) -> Telemetry:
    """Returns what counts the requests of a node, and serves the counts if an address is given.

    Raises:
        Invalid: the address is none, or others could read it without a token.
    """
    telemetry = Telemetry(engine, _ledger)
    if not address:
        return telemetry
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not port.isdecimal():
        raise Invalid("node.bad_metrics", "--metrics 应写成 地址:端口", "如 127.0.0.1:9464")
    secret = from_file(token) if token else ""
    try:
        inside = ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = True  # whoever listens says what is wrong with it
    if not inside and not secret:
        raise Invalid(
            "node.open_metrics", "指标不在本机回环上时须有令牌", "请给出 --metrics-token 文件"
        )
    taken = serve_metrics(telemetry, host, int(port), secret)
    print(f"指标：http://{host}:{taken}/metrics", flush=True)
    return telemetry


def _ledger() -> Iterable[tuple[str, str, float]]:
    """Tells how large the configured ledger is and how old its last published head."""
    folder = Path(load_settings().ledger)
    if not load_settings().ledger:
        return
    try:
        published = read_checkpoint(folder, read_policy(folder))
        at = (folder / CHECKPOINT).stat().st_mtime if published else time.time()
    except (OSError, PingyaoError):
        return
    size = float(published[0].size) if published else 0.0
    yield "pingyao_ledger_entries", "Entries of the published head", size
    yield "pingyao_ledger_head_age_seconds", "Since the head was published", time.time() - at
