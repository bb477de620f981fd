"""The commands of who watches over a log: monitor, restore, timestamp."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from pingyao.kernel.errors import IntegrityBroken, Invalid, NotFound, NotYet, PingyaoError
from pingyao.ledger.files import read_policy_file
from pingyao.platform.term import safe

if TYPE_CHECKING:
    from pingyao.ledger.monitor import Alarm


def monitor(
    policy: Annotated[Path, Parameter(help="信任策略文件：日志与见证方，须写明地址")],
    /,
    *,
    folder: Annotated[Path, Parameter(help="存放所见检查点与报警材料的目录")],
    every: Annotated[int, Parameter(help="每隔多少秒比较一次；0 为只比较一次")] = 0,
    check: Annotated[
        Path | None, Parameter(help="不监测，只核验别人交来的分叉报警材料（目录）")
    ] = None,
    json: Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")] = False,
) -> None:
    """比较日志与各见证方所见的检查点；发现分叉或回退即报警，写出两份签名文书作为证明，以退出码 5 结束。"""
    from pingyao.ledger.monitor import check_alarm, watch

    trust = read_policy_file(policy)
    if check is not None:
        first, second = check_alarm(check, trust.logs)
        print(
            f"材料成立：{safe(first.head.origin)} 签发过互相矛盾的检查点"
            f"（{first.head.size:,} 条与 {second.head.size:,} 条）"
        )
        return
    while True:
        try:
            told = watch(trust, folder)
        except PingyaoError as error:
            if not every or not error.retriable:
                raise
            print(f"{error.detail}；{error.remedy}", file=sys.stderr)
        else:
            if json:
                sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
            else:
                for view in told.views:
                    print(f"{safe(view.source)}　{view.head.size:,} 条")
                for source, why in (told.silent | told.unsettled).items():
                    print(f"{safe(source)}　{safe(why, 200)}", file=sys.stderr)
            if told.alarms:
                raise IntegrityBroken(
                    f"ledger.{told.alarms[0].kind}",
                    f"发现 {len(told.alarms)} 项异常：" + "；".join(map(_say, told.alarms)),
                    f"两份签名文书已写入 {folder / 'alarms'}，请分送各成员并停止信任该日志",
                )
        if not every:
            return
        time.sleep(every)


def timestamp(
    folder: Annotated[Path, Parameter(help="账本目录")],
    /,
    *,
    tsa: Annotated[str, Parameter(help="时间戳机构的地址（RFC 3161）")],
    root: Annotated[Path, Parameter(help="时间戳机构的根证书（PEM）")],
) -> None:
    """为当前检查点取得时间戳令牌，核验后存于账本目录；宜定时运行。"""
    from pingyao.ledger import timestamps
    from pingyao.ledger.formats.note import parse_note
    from pingyao.ledger.store.reader import read_checkpoint, read_policy

    published = read_checkpoint(folder, read_policy(folder))
    if published is None:
        raise NotYet("ledger.not_published", "账本还没有发布检查点", "请先追加条目并发布")
    text = parse_note(published[1]).text.encode()
    token = timestamps.stamp(tsa, text, timestamps.read_roots(root))
    path = timestamps.keep(folder, published[0].size, token)
    print(f"{published[0].size:,} 条的检查点已加盖时间戳：{path}")


_ALARMS = {
    "split": "日志给各方看的不是同一棵树",
    "witness_rolled_back": "见证方退回到更小的树",
    "log_rolled_back": "日志退回到更小的树",
}


def _say(alarm: "Alarm") -> str:
    return f"{_ALARMS[alarm.kind]}（{'、'.join(dict.fromkeys(map(safe, alarm.sources)))}）"


def restore(
    folder: Annotated[Path, Parameter(help="恢复到哪个目录，须为空")],
    /,
    *,
    policy: Annotated[Path, Parameter(help="该账本的 policy 文件，须写明镜像方地址")],
    url: Annotated[
        str | None, Parameter(help="只从这个地址恢复：镜像方给出的账本地址，或原账本的地址")
    ] = None,
) -> None:
    """从镜像方恢复丢失的账本：取其最大的检查点，逐条重算，与签名的树根一致才算恢复。"""
    from pingyao.ledger.formats.tlog_witness import origin_hash
    from pingyao.ledger.remote import Remote
    from pingyao.ledger.standing import standings
    from pingyao.ledger.store.restore import restore as make
    from pingyao.ledger.views import read_view

    trust = read_policy_file(policy)
    if not trust.logs:
        raise Invalid("ledger.no_logs", "policy 文件没有 log 行", "请给出该账本自己的 policy 文件")
    origin = trust.logs[0].name
    own = [k for k in trust.logs if k.name == origin]
    if url is not None:
        sources = [url]
    else:
        found = [s for s in standings(trust, origin) if s.view is not None]
        found.sort(key=lambda s: s.view.head.size if s.view else 0, reverse=True)
        sources = [f"{s.url.rstrip('/')}/{origin_hash(origin)}" for s in found]
    failure: PingyaoError | None = None
    for source in sources:
        remote = Remote(source, seconds=30)
        try:
            note = remote.fetch("checkpoint").decode("utf-8", "surrogateescape")
            read_view(source, note, own)
            count = make(folder, policy.read_bytes(), note, remote.fetch)
        except PingyaoError as error:
            failure = error
            print(f"{safe(source)}：{safe(error.detail, 200)}", file=sys.stderr)
            continue
        finally:
            remote.close()
        print(f"已从 {safe(source)} 恢复 {count:,} 条到 {folder}；继续追加前请运行 fsck")
        return
    raise failure or NotFound(
        "ledger.no_mirror", "没有可用的镜像方", "请核对 policy 文件中的地址，或用 --url 指明"
    )
