"""The certificate of a destruction, and the record of an export approval: JSON and a page to print."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import jinja2
import msgspec

from pingyao.kernel.errors import Invalid, NotFound, NotYet
from pingyao.platform.files import write_atomically
from pingyao.protect.formats.decoding import decoded
from pingyao.protect.lifecycle_model import Case, Destruction, Step
from pingyao.protect.rules.cases import ACTS, STATES, check_signatures, state

FORMAT = "pingyao.lifecycle.certificate/1"
_LARGEST = 4 << 20
METHODS = {
    "delete": "删除",
    "overwrite": "随机数据覆写后删除",
    "crypto_erase": "销毁密钥，使密文不可恢复",
    "physical": "物理销毁介质",
}
LIMITS = {
    "delete": "删除使数据在系统中不可再被访问；介质、快照、备份与日志中可能仍有残留，须另行处理",
    "overwrite": "固态盘、写时复制的文件系统、快照与备份可能保有原内容，须另行处理",
    "crypto_erase": "销毁前复制的密钥库与其备份须一并销毁，否则密文仍可打开",
    "physical": "由人执行与核实，软件未作检查",
}
KINDS = {
    "file": "文件",
    "sealed": "加密文件",
    "table": "数据库表",
    "rows": "数据库中的行",
    "media": "存储介质",
}


_ALGORITHMS = {"ed25519": "Ed25519", "sm2": "SM2"}


class Document(msgspec.Struct, frozen=True):
    """A case with the name of its format."""

    format: str
    program: str
    case: Case


def write_certificate(case: Case, folder: Path) -> tuple[Path, Path]:
    """Writes the certificate of a destruction that was verified.

    Raises:
        NotYet: it was not.
        IntegrityBroken: a signature does not hold.
    """
    check_signatures(case)
    if state(case) != "verified" or not isinstance(case.body, Destruction):
        raise NotYet(
            "lifecycle.not_verified",
            f"{case.id} {STATES[state(case)]}，不能出具销毁凭证",
            "核实之后才有凭证",
        )
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{case.id}.json", folder / f"{case.id}.html"
    document = Document(FORMAT, f"pingyao {version('pingyao')}", case)
    write_atomically(paths[0], msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    write_atomically(paths[1], _page(case, case.body, paths[0]).encode())
    return paths


def read_certificate(path: Path) -> Case:
    """Reads a certificate and checks every signature, without a database or a key.

    Raises:
        NotFound, Invalid: no such file, or no certificate.
        IntegrityBroken: it was altered.
        NotPermitted, Conflict: its steps could not have happened.
    """
    try:
        document = decoded(path, Document, _LARGEST)
    except OSError:
        raise NotFound("lifecycle.no_file", f"无法读取 {path.name}", "请核对路径") from None
    if document is None or document.format != FORMAT:
        raise Invalid("lifecycle.no_certificate", f"{path.name} 不是销毁凭证", "请给出 .json 凭证")
    check_signatures(document.case)
    if state(document.case) != "verified":
        raise NotYet("lifecycle.not_verified", "所载事项尚未核实", "核实之后才是凭证")
    return document.case


def fingerprint(public_key: str) -> str:
    """Returns the first 16 hexadecimal digits of a key's SHA-256, to be compared by eye."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:16]


def told(facts: dict[str, object]) -> str:
    """Returns facts in words."""
    names = {
        "role": "角色",
        "reason": "理由",
        "name": "文件",
        "size": "字节",
        "sha256": "SHA-256",
        "rows": "行数",
        "of_rows": "全表行数",
        "keys": "密钥",
        "method": "方法",
        "checked": "核实方式",
        "exists": "仍存在",
        "usable": "仍可用的密钥",
        "statement": "说明",
        "attachments": "附件",
        "inspected": "查看",
        "state": "状态",
        "bound": "方案或文件",
        "recipient": "接收方",
    }
    said = {
        "path": "查看原路径",
        "catalog": "查看库表目录",
        "count": "清点行数",
        "keys": "查看密钥状态",
        "statement": "由人说明",
        **METHODS,
    }

    def word(value: object) -> str:
        if isinstance(value, bool):
            return "是" if value else "否"
        if isinstance(value, list):
            return "、".join(word(v) for v in value) or "无"  # type: ignore[reportUnknownVariableType]  # JSON
        if isinstance(value, dict):
            return f"（{told(value)}）"  # type: ignore[reportUnknownArgumentType]  # JSON
        return f"{value:,}" if isinstance(value, int) else said.get(str(value), str(value))

    return "；".join(f"{names.get(k, k)}：{word(v)}" for k, v in facts.items())


def _page(case: Case, body: Destruction, json_path: Path) -> str:
    thing = body.thing
    rows = f"{thing.column} 早于 {thing.before} 的行" if thing.kind == "rows" else ""
    table = ".".join(p for p in (thing.schema, thing.table) if p)
    last: dict[str, Step] = {s.act: s for s in case.steps}
    facts = [
        ("数据集", body.source),
        ("对象", " ".join(p for p in (KINDS[thing.kind], thing.where, table, rows) if p)),
        ("级别与类别", f"{body.level} 级" + (f"，C{body.personal}" if body.personal else "")),
        ("事由", body.reason),
        ("留存规则", body.retention or "—"),
        ("方式", METHODS[body.method]),
        ("执行前所见", told(last["start"].facts) or "—"),
        ("执行结果", told(last["carry_out"].facts)),
        ("核实结果", told(last["verify"].facts)),
    ]
    signed = [("request", case.requester, case.requested_at, case.algorithm, case.public_key)]
    signed += [(s.act, s.actor, s.at, s.algorithm, s.public_key) for s in case.steps]
    return (
        jinja2.Environment(autoescape=True)
        .from_string(_HTML)
        .render(
            id=case.id,
            title="数据销毁凭证" if body.end == "destruction" else "数据删除凭证",
            end="销毁" if body.end == "destruction" else "删除",
            facts=facts,
            limit=LIMITS[body.method],
            signed=[
                (
                    ACTS[act],
                    who,
                    f"{at.astimezone():%Y-%m-%d %H:%M:%S}",
                    _ALGORITHMS.get(algorithm, algorithm),
                    fingerprint(key),
                )
                for act, who, at, algorithm, key in signed
            ],
            approvers=[s.actor for s in case.steps if s.act == "approve"],
            executor=last["carry_out"].actor,
            supervisor=last["verify"].actor,
            on=last["verify"].at.astimezone(),
            sha256=hashlib.sha256(json_path.read_bytes()).hexdigest(),
            json=json_path.name,
        )
    )


_HTML = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }} {{ id }}</title><style>
body{font:15px/1.7 "FangSong","STFangsong","Noto Serif CJK SC","Noto Sans CJK SC",serif;color:#111;margin:0;background:#eceff3}
main{max-width:760px;margin:24px auto;background:#fff;padding:56px 64px;box-sizing:border-box}
h1{font:700 26px/1.4 "SimSun","Noto Serif CJK SC","Noto Sans CJK SC",serif;text-align:center;color:#b3261e;letter-spacing:.24em;margin:0;padding-bottom:14px;border-bottom:2px solid #b3261e}
.no{text-align:right;margin:10px 0 18px}
table{border-collapse:collapse;width:100%;margin:10px 0 18px}
th,td{border:1px solid #555;padding:6px 10px;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{font-weight:700;width:7em;background:#f6f6f6}
.signs th{width:auto}.signs td{font-size:13px;white-space:nowrap}code{font:12px/1.5 monospace}
.hands{display:grid;grid-template-columns:repeat(4,1fr);gap:14px;margin-top:22px}
.hands div{border-bottom:1px solid #555;min-height:66px}.hands b{display:block}
.issuer{display:flex;justify-content:space-between;margin:20px 0 14px}.note{font-size:12px;line-height:1.7;color:#444;overflow-wrap:anywhere}
@page{size:A4;margin:18mm 20mm}.close{break-inside:avoid}
@media print{body{background:#fff;font-size:13px;line-height:1.5}main{margin:0;padding:0;max-width:none}th,td{padding:4px 8px}
h1{padding-bottom:8px}.no{margin:6px 0 10px}table{margin:6px 0 10px}.hands{margin-top:14px}.hands div{min-height:58px}.signs td{font-size:12px}code,.note{font-size:11px}}
</style></head><body><main>
<h1>{{ title }}</h1><p class="no">编号：{{ id }}</p>
<p>下列数据经申请、两人批准、执行并由另一人核实，已完成{{ end }}。</p>
<table>{% for label, fact in facts %}<tr><th>{{ label }}</th><td>{{ fact }}</td></tr>{% endfor %}</table>
<p><b>须知：</b>{{ limit }}。</p>
<table class="signs"><tr><th>事项</th><th>办理人</th><th>时间</th><th>签名算法</th><th>公钥指纹</th></tr>
{% for act, who, at, algorithm, key in signed %}<tr><td>{{ act }}</td><td>{{ who }}</td><td>{{ at }}</td><td>{{ algorithm }}</td><td><code>{{ key }}</code></td></tr>{% endfor %}</table>
<div class="close"><div class="hands"><div><b>审批人</b>{{ approvers[0] }}</div><div><b>审批人</b>{{ approvers[1] }}</div><div><b>{{ "销毁人" if end == "销毁" else "执行人" }}</b>{{ executor }}</div><div><b>监督人</b>{{ supervisor }}</div></div>
<p class="issuer"><span>出具单位（盖章）：</span><span>{{ on.year }} 年 {{ on.month }} 月 {{ on.day }} 日</span></p>
<p class="note">以上各步均有本人密钥的数字签名，存于 {{ json }}（SHA-256 {{ sha256 }}），可用 pingyao lifecycle check 离线核验；公钥指纹请与登记簿核对。所用为软件密钥，不是经认证的密码模块；是否足以代替手写签名由机构认定。</p></div>
</main></body></html>
"""
