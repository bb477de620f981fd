"""The command line: ``pingyao``. Everything heavy is imported by the command that needs it."""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from pingyao.kernel.errors import PingyaoError

app = App(
    name="pingyao",
    help="平遥：金融数据的分类分级、保护与智能使用 · security and intelligent use of financial data",
    version_flags=["--version"],
)
_COMMANDS = {
    "catalogue": (
        "pingyao.app.catalogue:app",
        "数据资产目录：确认、更正、差异与历史 · the catalogue",
    ),
    "example-bank": (
        "pingyao.app.commands:example_bank",
        "生成示例银行，供试用与演示 · make up an example bank",
    ),
    "keys": (
        "pingyao.app.keys:app",
        "密钥库：生成、轮换、双人启用、销毁 · the keystore",
    ),
    "ledger": (
        "pingyao.app.ledger:app",
        "存证账本：登记、取证、核验、检查 · the evidence ledger",
    ),
    "lifecycle": (
        "pingyao.app.lifecycle:app",
        "留存、删除与销毁、导出审批、生命周期评估 · retention, destruction, approvals",
    ),
    "members": (
        "pingyao.app.members:app",
        "成员机构：邀请、加入、核对指纹、吊销、轮换 · institutions that deal with each other",
    ),
    "node": ("pingyao.app.node:app", "机构节点：初始化与运行 · a node of an institution"),
    "protect": (
        "pingyao.app.protect:app",
        "保护数据：按用途与级别给出方案，执行并证明 · protect data",
    ),
    "province": (
        "pingyao.app.province:app",
        "演示用的一省：一个中心与四家银行 · a province on this machine, for trying out",
    ),
    "scan": ("pingyao.app.commands:scan", "扫描数据源，逐列分类分级 · scan, classify and grade"),
    "verify": (
        "pingyao.app.evidence:verify",
        "核验报告、工作簿或数据集是否存证的那一份 · verify a file against the ledger",
    ),
}
for _name, (_path, _help) in _COMMANDS.items():
    app.command(_path, name=_name, help=_help)


def main(words: Sequence[str] | None = None) -> None:
    """Runs the command line; errors become exit codes with their remedy on stderr.

    Args:
        words: of the command; by default those the process was started with.
    """
    try:
        app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        from pingyao.app.usage import misused
        from pingyao.platform.term import print_error

        told = misused(error)
        print_error(told)
        sys.exit(told.exit_code)
    except PingyaoError as error:
        from pingyao.platform.term import print_error

        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("PINGYAO_DEBUG"):
            raise
        from pingyao.platform.term import print_error

        # The error's own text may quote data, so only its kind is shown.
        print_error(
            PingyaoError(
                "internal.unforeseen",
                f"程序遇到没有料到的情况（{type(error).__name__}）",
                "请设环境变量 PINGYAO_DEBUG=1 重试以取得详情，并告知软件维护者",
            )
        )
        sys.exit(70)
