"""Free text: a gigabyte of remarks, 13 % of them with personal information, through the kernel."""

import time

import numpy as np
import pyarrow as pa

from benchmarks.rows import Row
from pingyao.app.example import values as made
from pingyao.classify.rules import values

_SAID = (
    "客户来电咨询大额存单的起存金额与利率，已按公告答复，并告知到期自动转存的约定。",
    "贷后回访：经营正常，库存与上月相当，应收账款略有增加，建议下季度再看一次报表。",
    "客户反映短信通知延迟约十分钟，已转科技部门核查（工单 20260312），等待回复。",
    "Ticket reopened: the customer could not sign in after the upgrade, cache cleared, solved.",
)
_SHARE = 0.13


def run(quick: bool) -> list[Row]:
    """Measures bytes per CPU-second over text that repeats only by chance."""
    size = (200 if quick else 1000) * 1_000_000
    column = _remarks(100_000)
    values.profile(column.slice(0, 10))
    read = spent = found = 0
    while read < size:
        before = time.process_time()
        profile = values.profile(column)
        spent += time.process_time() - before
        read += column.nbytes
        found = sum(span.rows for span in profile.spans.values())
    return [
        Row(
            f"自由文本，{size / 1e9:.1f} GB，{_SHARE:.0%} 夹带个人信息",
            "python -m benchmarks text",
            "≥ 150 MB 每 CPU 秒",
            f"{read / spent / 1e6:,.0f} MB 每 CPU 秒，夹带行查出 {found / len(column):.2%}",
        )
    ]


def _remarks(rows: int) -> pa.Array:
    rng = np.random.default_rng(3)
    texts = made.pick(rng, rows, [*_SAID]).to_numpy(zero_copy_only=False).astype(object)
    hidden = np.flatnonzero(rng.random(rows) < _SHARE)
    makers = (made.mobiles, made.id_cards, made.cards)
    for part, maker in zip(np.array_split(hidden, 3), makers, strict=True):
        for at, text in zip(part, maker(rng, len(part)).to_pylist(), strict=True):
            middle = len(texts[at]) // 2
            texts[at] = f"{texts[at][:middle]}（补充登记{text}）{texts[at][middle:]}"
    return pa.array(texts, pa.string())
