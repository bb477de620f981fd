"""The protection record: JSON for programs, a workbook for the files, a page to read."""

from pathlib import Path

import jinja2
import msgspec
import xlsxwriter

from pingyao.kernel.errors import Invalid
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.files import write_atomically
from pingyao.protect.formats.decoding import decoded
from pingyao.protect.formats.plan_xlsx import written
from pingyao.protect.formats.sheets import OPTIONS, cited, cover, formats, table
from pingyao.protect.model import Done, KeyUsed, Record
from pingyao.protect.rules.policy import Policy

FORMAT = "pingyao.protect.record/1"
_SHOWN = 5_000
_LARGEST = 512 * 1024**2


class Document(msgspec.Struct, frozen=True):
    """A record with the name of its format, and the event that is its evidence."""

    format: str
    record: Record
    event: EvidenceEvent | None


def write_record(
    record: Record, event: EvidenceEvent | None, policy: Policy, folder: Path
) -> tuple[Path, ...]:
    """Writes ``record.json``, ``record.xlsx`` and ``record.html``; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"record.{form}" for form in ("json", "xlsx", "html"))
    document = msgspec.json.encode(Document(FORMAT, record, event))
    write_atomically(paths[0], msgspec.json.format(document, indent=1))
    _write_xlsx(record, policy, paths[1])
    _write_html(record, policy, paths[2])
    return paths


def read_record(path: Path) -> Record:
    """Reads ``record.json`` back.

    Raises:
        Invalid: it is no record.
    """
    return read_document(path).record


def read_document(path: Path) -> Document:
    """Reads ``record.json`` back, with the event that is its evidence.

    Raises:
        Invalid: it is no record.
    """
    try:
        document = decoded(path, Document, _LARGEST)
    except OSError as error:
        raise Invalid(
            "protect.not_record", f"无法读取 {path.name}：{error.strerror}", "请检查路径与权限"
        ) from None
    if document is None:
        raise Invalid(
            "protect.not_record",
            f"{path.name} 不是保护记录，或超过 512 MiB",
            "请给出 protect run 写出的 record.json",
        )
    if document.format != FORMAT:
        raise Invalid(
            "protect.not_record", f"记录格式 {document.format[:40]} 不受支持", "请升级 pingyao"
        )
    return document


def _facts(record: Record, policy: Policy) -> list[tuple[str, str]]:
    aim = policy.purposes[record.purpose]
    rows = sum(m.rows for m in record.made)
    outcome = (
        "已放行：复扫未见不允许的内容"
        if record.released
        else f"未放行：{len(record.residuals):,} 处残留"
    )
    return [
        ("结论", outcome),
        ("数据源", record.source),
        ("目标", record.target),
        ("用途", aim.zh + ("，数据离开本机构" if aim.leaves else "，数据在本机构内")),
        ("关联范围", record.scope),
        ("接收方", record.recipient or "未指明"),
        ("导出审批", _approval(record)),
        ("密钥", _key(record.key)),
        ("经办", record.actor),
        ("时间", f"{record.started_at:%Y-%m-%d %H:%M:%S} 至 {record.finished_at:%H:%M:%S} UTC"),
        ("表、行、列", f"{len(record.made):,} 张表，{rows:,} 行；处理 {len(record.done):,} 列"),
        ("方案摘要", f"SHA-256 {record.plan_sha256}"),
        ("软件与规则包", f"pingyao {record.version}；{'、'.join(record.packs)}"),
    ]


def _done(done: Done, policy: Policy) -> tuple[str | int, ...]:
    rule = next((r for r in policy.regrade if done.regraded_by.endswith(f"/{r.id}")), None)
    why = f"{rule.text}——{cited(rule.citation)}" if rule else "级别不变"
    return (
        done.place.schema,
        done.place.table,
        done.place.column,
        policy.techniques[done.technique].zh + ("，加水印" if "mark" in done.params else ""),
        written(done.params),
        done.cells,
        done.unchanged,
        done.hidden,
        done.level_before,
        done.level,
        _class(done.personal_before),
        _class(done.personal),
        why,
    )


def _approval(record: Record) -> str:
    asked = f"依据 {'、'.join(record.asked_by)}" if record.asked_by else "策略未要求"
    return f"{record.approval}（{asked}）" if record.approval else asked


def _key(key: KeyUsed | None) -> str:
    if key is None:
        return "未记录"
    said = {"intl": "AES-256、HMAC-SHA-256", "gm": "SM4、HMAC-SM3"}[key.suite]
    return f"{key.name}@{key.version}（{said}），核对值 {key.check}"


def _class(personal: int) -> str:
    return f"C{personal}" if personal else "—"


_DONE = (
    *(("库/模式/文件", 24), ("表", 22), ("字段", 22), ("技术", 16), ("参数", 20)),
    *(("单元格", 12), ("未改变", 10), ("不合格式而另行处理", 18), ("原级别", 8), ("现级别", 8)),
    *(("原类别", 8), ("现类别", 8), ("重新定级依据", 70)),
)


def _write_xlsx(record: Record, policy: Policy, path: Path) -> None:
    with xlsxwriter.Workbook(path, OPTIONS) as book:
        styles = formats(book)
        facts = _facts(record, policy)
        sheet = cover(book, styles, "数据保护记录", facts)
        sheet.write_string(2, 1, facts[0][1], styles["good" if record.released else "bad"])
        rows = (_done(d, policy) for d in record.done)
        table(book, styles, "逐列", _DONE, rows, frozenset({8, 9}))
        table(
            book,
            styles,
            "残留",
            (("表", 24), ("字段", 24), ("种类", 24), ("数量", 12), ("说明", 70)),
            ((r.place.table, r.place.column, r.code, r.count, r.detail) for r in record.residuals),
        )
        table(
            book,
            styles,
            "目标文件",
            (("库/模式/文件", 24), ("表", 24), ("行数", 14), ("文件", 40), ("SHA-256", 70)),
            ((m.schema, m.table, m.rows, m.file, m.sha256) for m in record.made),
        )
        table(
            book,
            styles,
            "须另行完成",
            (("措施", 26), ("程度", 10), ("要求", 70), ("依据", 50)),
            (
                (
                    policy.controls[c.control][0],
                    record.demands[c.demand].strength,
                    record.demands[c.demand].text,
                    cited(record.demands[c.demand].citation),
                )
                for c in record.conditions
            ),
        )
    path.chmod(0o600)


_PAGE = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>数据保护记录</title><style>
body{font:14px/1.6 "Microsoft YaHei","Noto Sans CJK SC",sans-serif;color:#1f2933;margin:0;background:#f5f7fa}
main{max-width:1240px;margin:0 auto;padding:24px}
h1{font-size:24px;color:#1f3a5f;margin:0 0 12px}h2{font-size:17px;color:#1f3a5f;margin:28px 0 8px}
.outcome{padding:12px 16px;border-radius:6px;font-weight:600;margin-bottom:16px}
.good{background:#e6f4ea;color:#1b7f3b}.bad{background:#fdecea;color:#b42318}
dl{display:grid;grid-template-columns:120px 1fr;gap:4px 12px;background:#fff;padding:16px;border-radius:6px;margin:0}
dt{color:#52606d}dd{margin:0;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;background:#fff;font-size:13px}
th{background:#1f3a5f;color:#fff;text-align:left;position:sticky;top:0}
th,td{padding:5px 8px;border-bottom:1px solid #e4e7eb;vertical-align:top;overflow-wrap:anywhere}
td.c{white-space:nowrap}td.n{text-align:right;white-space:nowrap}td.w{max-width:420px}
.scroll{overflow-x:auto;border-radius:6px}
.l1{background:#e6f4ea}.l2{background:#f1f8e9}.l3{background:#fff3cd}.l4{background:#f8d7da}.l5{background:#e0b4e0}
.l1,.l2,.l3,.l4,.l5{text-align:center;font-weight:600}
p.note{color:#52606d}td.k{min-width:7em}@page{size:A4 landscape;margin:12mm}
@media print{body{background:#fff}main{padding:0}th{position:static}tr,dl{break-inside:avoid}.scroll{overflow:visible}}
</style></head><body><main><h1>数据保护记录</h1>
<div class="outcome {{ 'good' if released else 'bad' }}">{{ facts[0][1] }}</div>
<dl>{% for label, fact in facts[1:] %}<dt>{{ label }}</dt><dd>{{ fact }}</dd>{% endfor %}</dl>
{% if residuals %}<h2>残留</h2><div class="scroll"><table><tr><th>表</th><th>字段</th><th>说明</th></tr>
{% for r in residuals %}<tr><td>{{ r.place.table }}</td><td>{{ r.place.column }}</td><td>{{ r.detail }}</td></tr>{% endfor %}</table></div>{% endif %}
<h2>用了哪些技术，攻击者仍能做到什么</h2><div class="scroll"><table><tr><th>技术</th><th>列</th><th>威胁</th></tr>
{% for t, n in used %}<tr><td class="c">{{ t.zh }}</td><td class="n">{{ n }}</td><td>{{ t.threat }}</td></tr>{% endfor %}</table></div>
<h2>逐列</h2>{% if more %}<p class="note">只列出前 {{ rows|length }} 列，其余 {{ more }} 列见工作簿。</p>{% endif %}
<div class="scroll"><table><tr><th>表</th><th>字段</th><th>技术</th><th>参数</th><th>单元格</th><th>未改变</th><th>另行处理</th><th>原级别</th><th>现级别</th><th>类别</th><th>重新定级依据</th></tr>
{% for r in rows %}<tr><td class="k">{{ r[1] }}</td><td class="k">{{ r[2] }}</td><td class="c">{{ r[3] }}</td><td>{{ r[4] }}</td><td class="n">{{ '{:,}'.format(r[5]) }}</td><td class="n">{{ '{:,}'.format(r[6]) if not r[3].startswith('保留原值') else '—' }}</td><td class="n">{{ '{:,}'.format(r[7]) }}</td><td class="l{{ r[8] }}">{{ r[8] }}</td><td class="l{{ r[9] }}">{{ r[9] }}</td><td class="c">{{ r[10] if r[10] == r[11] else r[10] ~ " → " ~ r[11] }}</td><td class="w">{{ r[12] }}</td></tr>{% endfor %}</table></div>
<h2>须由机构另行完成</h2><div class="scroll"><table><tr><th>措施</th><th>程度</th><th>要求</th><th>依据</th></tr>
{% for c in conditions %}<tr><td>{{ c[0] }}</td><td>{{ c[1] }}</td><td>{{ c[2] }}</td><td>{{ c[3] }}</td></tr>{% endfor %}</table></div>
<p class="note">本记录不含任何数据取值。标为“待核对”的规则未与标准原文逐条核对，机构应对照原文确认。</p>
</main></body></html>
"""


def _write_html(record: Record, policy: Policy, path: Path) -> None:
    techniques = [d.technique for d in record.done]
    text = (
        jinja2.Environment(autoescape=True)
        .from_string(_PAGE)
        .render(
            facts=_facts(record, policy),
            released=record.released,
            residuals=record.residuals[:_SHOWN],
            used=[
                (t, techniques.count(t.id))
                for t in policy.techniques.values()
                if t.id in techniques
            ],
            rows=[_done(d, policy) for d in record.done[:_SHOWN]],
            more=max(0, len(record.done) - _SHOWN),
            conditions=[
                (policy.controls[c.control][0], d.strength, d.text, cited(d.citation))
                for c in record.conditions
                for d in (record.demands[c.demand],)
            ],
        )
    )
    write_atomically(path, text.encode())
