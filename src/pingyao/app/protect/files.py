"""The commands that work on files: documents masked, files sealed and opened."""

import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from cyclopts import Parameter

from pingyao.app.evidence import note, settle
from pingyao.app.opening import Approve, Db, Store, open_catalogue, open_holder, persons
from pingyao.app.protect.options import (
    Approval,
    For,
    Json,
    Leaving,
    Own,
    Recipient,
    rules,
    use_of,
)
from pingyao.kernel.errors import Invalid
from pingyao.protect.model import Purpose

if TYPE_CHECKING:
    from pingyao.protect.formats.sealing import Sealed

_T = TypeVar("_T")


def document(
    source: Path,
    target: Path,
    /,
    *,
    for_: For,
    recipient: Recipient = "",
    approval: Approval = "",
    policy: Own = (),
    db: Db = None,
) -> None:
    """遮盖文档中的证件号、卡号、信用代码、手机号、邮箱：.txt、.md、.log、.json、.jsonl、.docx；写成新文件。

    姓名与叙述中的间接线索不在其列，公开前须人工阅读。文档未经定级，按最高级对待：用途须审批的给出 --approval。
    """
    from pingyao.protect.formats.documents import mask_document

    def write(path: Path) -> tuple[int, dict[str, object]]:
        found = mask_document(source, path)
        return found, {"found": found}

    leaving = (for_, recipient, approval)
    found = _let_out(source, target, "mask", write, leaving, policy, db)
    print(f"已写入 {target}：遮盖标识 {found:,} 处")


def seal(
    source: Path,
    target: Path,
    /,
    *,
    to: Annotated[tuple[str, ...], Parameter(help="可打开此文件的密钥名称，可重复给出")],
    suite: Annotated[
        str, Parameter(help="intl：AES-256-GCM 与 SHA-256；gm：SM4-GCM 与 SM3")
    ] = "intl",
    for_: Leaving = None,
    recipient: Recipient = "",
    approval: Approval = "",
    approve: Approve = (),
    policy: Own = (),
    store: Store = None,
    db: Db = None,
    json: Json = False,
) -> None:
    """加密一个文件或数据集，附散列树；目标要么完整，要么不出现。

    交给他人的以 --for 写明用途，策略要求审批的须给出 --approval。不写用途即留存自用：只有本机构密钥库中的密钥打得开，
    不要求审批，存证写明留存；它不能作为日后交出的凭据。
    """
    from pingyao.platform.term import bytes_progress
    from pingyao.protect.formats import sealing

    if for_ is None and recipient.strip():
        raise Invalid(
            "protect.no_purpose",
            "写明了接收方，没有写明用途",
            "请以 --for 写明用途；留存自用的不给接收方",
        )
    held = open_holder(store)
    total = source.stat().st_size if source.exists() else 0

    def write(path: Path) -> tuple["Sealed", dict[str, object]]:
        with bytes_progress(source.name, total) as told:
            said = sealing.seal(
                source, path, held, to, suite=suite, approvals=persons(approve), told=told
            )
        return said, _facts(source, said) | {"kept_inside": for_ is None}

    leaving = (for_, recipient, approval)
    _say(_let_out(source, target, "seal", write, leaving, policy, db), json=json)
    if for_ is None:
        print("未写明用途：留存自用，存证如此记载；交给他人前请以 --for 重新加密", file=sys.stderr)


def _let_out(
    source: Path,
    target: Path,
    act: str,
    write: Callable[[Path], tuple[_T, dict[str, object]]],
    leaving: tuple[Purpose | None, str, str],
    own: tuple[Path, ...],
    db: str | None,
) -> _T:
    """Writes a file beside its target and lets it out, with its evidence, or not at all.

    Args:
        write: writes it to a path; gives what is to be said, and facts for the evidence.
        leaving: for what, to whom, and under which approval.
    """
    from pingyao.app.keeping import open_recorder
    from pingyao.protect.releasing import UNGRADED, Terms, asked, let_out, whole_or_nothing
    from pingyao.protect.sinks.files import WholeFile

    purpose, recipient, approval = leaving
    in_force, recorder = rules(own), open_recorder(db)
    use = recorder.require(use_of(approval, purpose, str(source), recipient=recipient))
    asked(in_force, purpose or "", [UNGRADED], use)
    terms = Terms(source.name, purpose or "", in_force, recorder, getpass.getuser(), use)
    held = WholeFile(target)
    with whole_or_nothing(held, terms, act):
        result, facts = write(held.path)
        let_out(
            terms, act, held, held.staged(), [UNGRADED], facts | {"recipient": recipient.strip()}
        )
    recorder.settle()
    return result


def open_(
    source: Path,
    target: Path,
    /,
    *,
    approve: Approve = (),
    store: Store = None,
    db: Db = None,
    json: Json = False,
) -> None:
    """解密一个加密文件；有一处不符即不写出任何内容。"""
    from pingyao.platform.term import bytes_progress
    from pingyao.protect.formats import sealing

    held = open_holder(store)
    total = source.stat().st_size if source.exists() else 0
    with bytes_progress(source.name, total) as told:
        said = sealing.open_(source, target, held, approvals=persons(approve), told=told)
    _say(said, json=json)
    engine = open_catalogue(db)
    note(engine, "protect.file.opened", target.name, _facts(source, said))
    settle(engine)


def verify(
    source: Path,
    /,
    *,
    root: Annotated[str | None, Parameter(help="加密时给出的树根，十六进制")] = None,
    json: Json = False,
) -> None:
    """不用密钥，核对加密文件与其散列树。"""
    from pingyao.protect.formats import sealing

    try:
        wanted = bytes.fromhex(root) if root else None
    except ValueError:
        raise Invalid("keys.bad_root", "树根应为 64 位十六进制", "请照封装时的输出填写") from None
    _say(sealing.verify(source, wanted), json=json)
    if wanted is None:
        print("未给出树根：只能说明文件自身相符，不能说明它就是当初那一份", file=sys.stderr)


def rewrap(
    source: Path,
    /,
    *,
    to: Annotated[tuple[str, ...], Parameter(help="改由这些密钥打开；默认仍为原来的密钥")] = (),
    approve: Approve = (),
    store: Store = None,
) -> None:
    """密钥轮换后，把加密文件换到在用的版本；数据本身不重新加密。"""
    from pingyao.protect.formats import sealing

    said = sealing.rewrap(source, open_holder(store), to, persons(approve))
    print(f"{source.name} 现由 {_keys(said.keys)} 打开")


def _facts(source: Path, said: "Sealed") -> dict[str, object]:
    return {
        "source": source.name,
        "suite": said.suite,
        "root": said.root.hex(),
        "keys": [f"{name}@{version}" for name, version in said.keys],
    }


def _keys(keys: tuple[tuple[str, int], ...]) -> str:
    return "、".join(f"{name} 版本 {version}" for name, version in keys)


def _say(said: "Sealed", *, json: bool) -> None:
    if json:
        body = {**msgspec.structs.asdict(said), "root": said.root.hex()}
        sys.stdout.buffer.write(msgspec.json.encode(body) + b"\n")
        return
    print(
        f"{said.length:,} 字节，{said.chunks:,} 块，套件 {said.suite}，由 {_keys(said.keys)} 打开"
    )
    print(f"树根 {said.root.hex()}")
