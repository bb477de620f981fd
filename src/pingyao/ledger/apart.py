"""A document of unknown origin read in a process of its own, in bounded memory and time.

What somebody sends in may be a workbook that unpacks to a thousand times its size: it ends that
process, and nothing else.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

import msgspec

from pingyao.kernel.errors import Invalid
from pingyao.ledger.formats.documents import Document, read_document

SECONDS = 30
MEMORY = 2 << 30
_MOST_TOLD = 16 << 20


def read_apart(path: Path) -> Document:
    """Hashes a file and marks its parts.

    Raises:
        Invalid: it cannot be read within the bounds.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pingyao.ledger.apart"],
            input=os.fsencode(path),
            # Passphrases among the node's own settings are no business of what reads a stranger's file.
            env={k: v for k, v in os.environ.items() if not k.startswith("PINGYAO_")},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=2 * SECONDS,
            check=True,
        )
        return msgspec.msgpack.decode(done.stdout, type=Document)
    except (subprocess.SubprocessError, msgspec.MsgspecError):
        raise Invalid(
            "ledger.cannot_compare",
            "文件无法在限定的内存与时间内读完，不能逐部分比较",
            "请在本机运行 pingyao verify 核验",
        ) from None


def _main(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    told = msgspec.msgpack.encode(read_document(path))
    if len(told) > _MOST_TOLD:
        raise SystemExit(1)
    sys.stdout.buffer.write(told)


if __name__ == "__main__":
    _main(Path(os.fsdecode(sys.stdin.buffer.read())))
