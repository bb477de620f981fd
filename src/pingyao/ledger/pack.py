"""The evidence pack: a page for people, and the files with which anybody checks it."""

import hashlib
import statistics
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import msgspec

from pingyao.kernel.errors import Conflict, Unavailable, Unsupported
from pingyao.ledger.evidence import Proven, read_facts, say_clock
from pingyao.ledger.formats.documents import RECORDED
from pingyao.ledger.formats.note import parse_note
from pingyao.ledger.formats.opening import format_opening
from pingyao.ledger.formats.tlog_proof import format_proof
from pingyao.ledger.rules.sealing import read_entry
from pingyao.platform.crypto.signers import Algorithm
from pingyao.platform.files import write_atomically

# Typst takes the first that is installed; one of them must be, for the page is in Chinese.
_FONTS = ("Noto Serif CJK SC", "Source Han Serif SC", "SimSun", "FandolSong", "Noto Sans CJK SC")
_PAGE = "存证证明.pdf"
_PROOF = "证明.tlog-proof"
_POLICY = "信任策略.policy"
_TOKEN = "检查点时间戳.tsr"
_NOTE = "检查点正文.txt"
_ALGORITHMS = {
    Algorithm.ED25519: "Ed25519",
    Algorithm.ML_DSA_44: "ML-DSA-44",
    Algorithm.SM2: "SM2（SM3）",
}
_BEFORE = (
    "账本只能证明存入之后的情况。存入之前内容是否真实、完整，由法庭结合提交人的身份、采集的系统与程序、时间来源及原始载体"
    "另行审查。可供审查的线索见第一节：经办人、机构、系统与时钟状态均由登记时的软件自动记录，并与内容一同固定。"
)
_AFTER = (
    "条目已列入账本的树，树头由账本与上列见证方签名。任何一个字节的改动都会使核验失败；账本方若另造一份，则须使见证方在互相矛盾的"
    "树头上签名，而这样的两份签名本身就是可以出示的证据。据此可依《人民法院在线诉讼规则》第十六条主张上链后未经篡改；"
    "第十七条、第十八条所述的审查事项见前款。（条款内容待核对原文）"
)
_LIMITS = (
    "账本是由多方见证的只增日志：在见证方不合谋的前提下，其树头不会分叉；它不是区块链共识网络，不保证定序方停止服务时仍能追加。"
    "签名密钥为软件密钥时，软件不是经认证的密码模块。签名所载时间由各签名方的时钟给出；附有时间戳令牌的，以令牌所载时间为准。"
)


def write_pack(proven: Proven, policy: bytes, out: Path, token: bytes | None = None) -> Path:
    """Writes the pack of an event into a new folder; returns the page.

    Args:
        proven: the event with all that proves it.
        policy: the trust policy it is to be checked by.
        out: a folder that does not exist or is empty.
        token: RFC 3161 response over the head's text, checked before.

    Raises:
        Conflict: the folder is not empty.
        Unavailable: no Chinese font is installed.
        Unsupported: the typesetter (extra ``pdf``) is not installed.
    """
    if out.exists() and any(out.iterdir()):
        raise Conflict("ledger.pack_exists", f"目录 {out.name} 不是空的", "请换一个目录")
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    proof = msgspec.structs.replace(
        proven.proof, extra=format_opening(proven.entry, proven.opening)
    )
    parts = {_PROOF: format_proof(proof), _POLICY: policy}
    if token is not None:
        parts[_NOTE] = parse_note(proven.proof.checkpoint).text.encode()
        parts[_TOKEN] = token
    for name, content in parts.items():
        write_atomically(out / name, content)
    write_atomically(out / _PAGE, _typeset(_tell(proven, parts)))
    return out / _PAGE


def _typeset(told: dict[str, object]) -> bytes:
    try:
        import typst
    except ImportError:
        raise Unsupported(
            "ledger.no_typst",
            "本机没有排版组件，无法出具 PDF；证明文件与信任策略已写出",
            "请安装 pingyao[pdf]，再换目录重试；所写出的文件已可离线核验",
        ) from None

    fonts = set(typst.Fonts().families())
    found = [f for f in _FONTS if f in fonts]
    if not found:
        raise Unavailable(
            "ledger.no_font",
            "本机没有中文字体，无法排版存证证明；证明文件与信任策略已写出",
            "请安装中文字体，如 Debian 的 fonts-noto-cjk，再换目录重试",
        )
    data = msgspec.json.encode(told | {"fonts": found}).decode()
    source = files("pingyao.ledger").joinpath("data", "pack.typ").read_bytes()
    return typst.compile(source, sys_inputs={"data": data})


def _tell(proven: Proven, parts: dict[str, bytes]) -> dict[str, object]:
    entry = read_entry(proven.entry)
    head = proven.head
    return {
        "key": proven.key,
        "subject": _subject(proven),
        "place": [
            ("账本", head.origin, False),
            ("条目序号", f"第 {proven.proof.index:,} 条（自 0 起）", False),
            ("检查点", f"共 {head.size:,} 条", False),
            ("树根（SHA-256）", head.root.hex(), True),
            ("承诺值 SHA-256", entry.commitment.sha256, True),
            ("承诺值 SM3", entry.commitment.sm3, True),
        ],
        "signed": [
            [
                s.key.name,
                "账本" if s.key.name == head.origin else "见证方",
                _ALGORITHMS[s.key.type.algorithm],
                "—" if s.at is None else _utc(s.at),
            ]
            for s in proven.signed
        ],
        "time": _time(proven),
        "before": _BEFORE,
        "after": _AFTER,
        "limits": _LIMITS,
        "steps": _steps(proven, _TOKEN in parts),
        "files": [(name, hashlib.sha256(content).hexdigest()) for name, content in parts.items()],
    }


def _subject(proven: Proven) -> list[tuple[str, str, bool]]:
    event = proven.event
    rows = [
        ("机构", proven.member, False),
        ("经办人", event.actor, False),
        ("发生时间", f"{event.occurred_at:%Y-%m-%d %H:%M:%S} UTC（登记方时钟）", False),
        ("封存时间", f"{proven.submitted_at:%Y-%m-%d %H:%M:%S} UTC（登记方时钟）", False),
    ]
    if event.kind != RECORDED:
        body = msgspec.json.encode(event.body).decode()
        return [("事项", f"{event.kind}：{event.subject}", False), *rows, ("内容", body, False)]
    facts = read_facts(proven)
    about = "，".join(facts.about.values())
    return [
        ("文件", facts.name, False),
        ("大小", f"{facts.size:,} 字节", False),
        ("SHA-256", facts.sha256, True),
        ("SM3", facts.sm3, True),
        *([("所述内容", about, False)] if about else []),
        *rows,
        ("采集系统", facts.system, False),
        ("时间来源", say_clock(facts.time_source), False),
    ]


def _time(proven: Proven) -> str:
    times = [s.at for s in proven.signed if s.at is not None]
    if not times:
        return "本检查点没有见证方联署，时间只有登记方自己的时钟为凭。"
    return f"最迟于 {_utc(int(statistics.median_high(times)))} UTC（各联署所载时间的中位数）已在账本之中。"


def _steps(proven: Proven, stamped: bool) -> list[tuple[str, str]]:
    steps: list[tuple[str, str]] = []
    name = "文件"
    if proven.event.kind == RECORDED:
        facts = read_facts(proven)
        name = f"'{facts.name}'"
        steps.append(("计算原件的杂凑值，应与第一节所列一致：", f"sha256sum {name}"))
    steps.append(
        (
            "以本软件核验原件、证明与签名；不符即报错，退出码为 5：",
            f"pingyao verify {name} --proof {_PROOF} --policy {_POLICY}",
        )
    )
    steps.append(
        (
            "或以任何支持 C2SP tlog-proof 的他方程序核验证明文件；检查点为 signed note，Go 语言 golang.org/x/mod/sumdb/note 与 tlog 可读。"
            "信任策略中的公钥须另从账本方与见证方处核对，不能只凭本附件。",
            "",
        )
    )
    if stamped:
        steps.append(
            (
                "以时间戳机构的根证书核验时间戳：",
                f"openssl ts -verify -in {_TOKEN} -data {_NOTE} -CAfile 根证书.pem",
            )
        )
    return steps


def _utc(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
