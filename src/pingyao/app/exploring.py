"""The evidence of a node: its log, and the key its contents are read by, where the node is trusted with it."""

import os
import sys
from pathlib import Path

import sqlalchemy as sa

from pingyao.app.entitled import reader_key
from pingyao.kernel.errors import NotFound
from pingyao.ledger.desk import Archive, Reader
from pingyao.ledger.keys import open_store
from pingyao.ledger.store.reader import read_policy
from pingyao.platform.crypto.passphrases import KEYSTORE
from pingyao.platform.settings import load_settings


def open_archive(engine: sa.Engine, keystore: Path | None = None) -> Archive:
    """Returns where the evidence of this node is, by the settings.

    Contents are readable where the environment gives the keystore's passphrase, and stay sealed
    otherwise: a server asks nobody at a terminal.

    Raises:
        NotFound: the folder of the settings holds no log.
        NotPermitted: the passphrase is wrong.
    """
    folder = load_settings().ledger
    if not folder:
        return Archive(engine)
    origin = read_policy(Path(folder)).logs[0].name
    return Archive(engine, Path(folder), _reader(origin, keystore))


def _reader(origin: str, keystore: Path | None) -> Reader | None:
    if not (os.environ.get(KEYSTORE) or os.environ.get(f"{KEYSTORE}_FILE")):
        why = f"没有给出密钥库口令（{KEYSTORE}_FILE）"
    else:
        try:
            return Reader(origin, reader_key(open_store(keystore), "ledger"))
        except NotFound as error:
            why = error.detail
    print(f"存证内容保持封存：{why}", file=sys.stderr)
    return None
