"""The commands ``pingyao node …``: set up a node, and serve it."""

import gc
import getpass
import ipaddress
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pingyao.app import node_sources
from pingyao.app.auditing import app as auditing
from pingyao.app.opening import Db, Pack, open_catalogue, open_provider, packs
from pingyao.app.operating import Log
from pingyao.app.recovering import Key, recover
from pingyao.kernel.errors import Conflict, Invalid, NotYet, Unsupported
from pingyao.platform.identity.model import Institution
from pingyao.platform.policy import ADMINISTRATORS
from pingyao.platform.term import safe

app = App(name="node", help="机构节点：初始化、运行、备份与检查 · a node of an institution")
app.command(auditing)
app.command(recover)
app.command(node_sources.app)
app.command("pingyao.app.operating:backup", name="backup", help="备份：节点照常运行")
app.command("pingyao.app.operating:restore", name="restore", help="从备份恢复到空的位置")
app.command("pingyao.app.operating:check", name="check", help="检查数据库、密钥、账本、磁盘与证书")
app.command("pingyao.app.operating:work", name="work", help="运行定时工作：存证、清理")
ROLE_NAMES = {"system": "系统管理员", "security": "安全管理员", "audit": "审计管理员"}


@app.command
def init(
    *,
    institution: Annotated[str, Parameter(help="机构名称")],
    uscc: Annotated[str, Parameter(help="统一社会信用代码，18 位")],
    role: Annotated[
        Literal["member", "centre"], Parameter(help="member 成员机构，centre 中心机构")
    ] = "member",
    admin: Annotated[
        tuple[str, ...],
        Parameter(
            help="首批管理员，写作“角色=账号:姓名”，须有 system、security、audit 各一名；"
            "不给出时以角色名为账号"
        ),
    ] = (),
    second_factor: Annotated[bool, Parameter(help="要求所有人启用动态口令", negative="")] = False,
    passwords: Annotated[
        Path | None, Parameter(help="一次性口令写入此目录的文件（仅本人可读），不在终端显示")
    ] = None,
    code: Annotated[str, Parameter(help="金融机构编码，14 位")] = "",
    kind: Annotated[str, Parameter(help="机构类型：bank、insurer、regulator 等")] = "bank",
    region: Annotated[str, Parameter(help="地区代码，GB/T 2260 的 6 位数字")] = "",
    address: Annotated[str, Parameter(help="其他机构访问本节点的地址，如 https://主机:8443")] = "",
    db: Db = None,
    key: Key = None,
) -> None:
    """建立节点：登记机构，设立系统、安全、审计三名管理员，各得一个一次性口令。"""
    needs_extra()
    from pingyao.platform import nodekey
    from pingyao.platform.files import write_atomically
    from pingyao.platform.identity import people
    from pingyao.platform.members import codes, register, ring
    from pingyao.platform.members.model import Profile

    name, uscc = " ".join(institution.split()), uscc.strip().upper()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise Invalid("node.bad_name", "机构名称须为 1 至 100 个可见字符", "请改正 --institution")
    profile = codes.profile(Profile(name, uscc, role, code, kind, region, address))
    wanted = [_admin(a) for a in admin] or [(r, ROLE_NAMES[r], r) for r in ADMINISTRATORS]
    path = key or nodekey.default_key()
    if passwords is not None:
        passwords.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(passwords.iterdir()):
            raise Conflict("node.not_empty", f"{passwords.name} 不是空目录", "请换一个空目录")
    engine = open_catalogue(db)
    secret = nodekey.read_key(path) if path.exists() else nodekey.make_key(path)
    whose, user = Institution(name, uscc, role, second_factor), getpass.getuser()
    issued = people.found(engine, whose, wanted, user)
    register.write_profile(engine, profile, user, {})
    keys = ring.StoreRing(path, secret)
    ring.ensure(engine, keys, user)
    print(f"已建立节点：{safe(name)}（{uscc}）")
    print(f"节点密钥：{path}。请与数据库分开备份；没有它，动态口令须全部重设")
    print(f"成员密钥库：{keys.path}，国际、国密各一套，由节点密钥加密；请一同备份")
    print("三名管理员的一次性口令，首次登录即须修改：")
    for each in issued:
        who = f"{ROLE_NAMES[each.account.role]} {each.account.name}（{safe(each.account.person)}）"
        if passwords is None:
            print(f"  {who}：{each.password}")
        else:
            file = passwords / f"{each.account.name}.txt"
            write_atomically(file, f"{each.password}\n".encode())
            print(f"  {who}：见 {file}")
    print("启动：pingyao node serve，然后以浏览器打开所示地址")


@app.command
def serve(
    *,
    host: Annotated[str, Parameter(help="监听的 IP 地址；非本机回环时必须启用 TLS")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="端口；0 为任意空闲端口")] = 8443,
    tls_cert: Annotated[Path | None, Parameter(help="TLS 证书链，PEM")] = None,
    tls_key: Annotated[Path | None, Parameter(help="TLS 私钥，PEM")] = None,
    name: Annotated[
        tuple[str, ...], Parameter(help="节点的域名，可重复给出；以其他名称访问一律拒绝")
    ] = (),
    syslog: Annotated[
        tuple[str, ...],
        Parameter(help="把审计持续转发到此 syslog 服务器：tls://主机:6514、tcp://… 或 udp://…"),
    ] = (),
    syslog_format: Annotated[
        Literal["syslog", "cef"], Parameter(help="转发的正文：RFC 5424 或 CEF")
    ] = "syslog",
    syslog_ca: Annotated[
        Path | None, Parameter(help="syslog 服务器证书的签发者，PEM；默认用系统信任的")
    ] = None,
    metrics: Annotated[
        str, Parameter(help="在此地址另开 /metrics 供 Prometheus 读取，如 127.0.0.1:9464；默认不开")
    ] = "",
    metrics_token: Annotated[
        Path | None, Parameter(help="读取指标须出示的令牌，写在此文件；非本机回环时必须")
    ] = None,
    log: Log = "text",
    work: Annotated[bool, Parameter(help="兼做定时工作；--no-work 则另以 node work 运行")] = True,
    keystore: Annotated[
        Path | None, Parameter(help="解读存证用的密钥库；默认为本人的密钥库")
    ] = None,
    db: Db = None,
    key: Key = None,
    pack: Pack = (),
) -> None:
    """运行节点：控制台与接口。按 Ctrl+C 停止。"""
    needs_extra()
    import uvicorn

    from pingyao.app.exploring import open_archive
    from pingyao.app.observing import counted
    from pingyao.app.running import launch
    from pingyao.app.web import account_of, make_app
    from pingyao.app.working import doing
    from pingyao.classify.packs import load_book
    from pingyao.platform import forwarding, nodekey
    from pingyao.platform.asgi import listen
    from pingyao.platform.identity import store
    from pingyao.platform.members import ring
    from pingyao.platform.patience import PatientProtocol
    from pingyao.platform.telemetry import Observed, set_up_logs

    if (tls_cert is None) != (tls_key is None):
        raise Invalid("node.half_tls", "证书与私钥须同时给出", "请补上 --tls-cert 或 --tls-key")
    _check_files(tls_cert, tls_key, syslog_ca)
    cef = syslog_format == "cef"
    targets = tuple(forwarding.target(t, cef=cef, authority=syslog_ca) for t in syslog)
    with closing(listen(host, port)) as listener:
        if tls_cert is None and not ipaddress.ip_address(host).is_loopback:
            raise Invalid(
                "node.no_tls", "对外提供服务必须启用 TLS", "请给出 --tls-cert 与 --tls-key"
            )
        engine = open_catalogue(db)
        with engine.connect() as connection:
            institution = store.read_institution(connection)
        if institution is None:
            raise NotYet("node.none", "此数据库还不是一个节点", "请先运行 pingyao node init")
        hosts = frozenset({host, "localhost", "127.0.0.1", "::1", *(n.lower() for n in name)})
        path = key or nodekey.default_key()
        secret = nodekey.read_key(path)
        keys = ring.StoreRing(path, secret)
        ring.ensure(engine, keys, getpass.getuser())
        application = make_app(
            engine,
            secret,
            institution,
            load_book(packs(pack)),
            hosts,
            partial(launch, engine, path),
            keys,
            open_provider(),
            open_archive(engine, keystore),
        )
        set_up_logs(log)
        config = uvicorn.Config(
            Observed(application, counted(engine, metrics, metrics_token), account_of),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
            limit_concurrency=2048,
            http=PatientProtocol,
            reset_contextvars=True,
            h11_max_incomplete_event_size=16 * 1024,
            ws="none",
            ssl_certfile=tls_cert,
            ssl_keyfile=tls_key,
        )
        scheme = "http" if tls_cert is None else "https"
        shown = name[0] if name else (f"[{host}]" if ":" in host else host)
        print(
            f"{safe(institution.name)}：{scheme}://{shown}:{listener.getsockname()[1]}/", flush=True
        )
        gc.freeze()  # what is there by now stays: it is not gone through again and again
        try:
            with doing(engine, targets, work=work, key=path, keystore=keystore):
                uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            return
        finally:
            engine.dispose()


def _admin(given: str) -> tuple[str, str, str]:
    role, _, rest = given.partition("=")
    account, _, person = rest.partition(":")
    if role not in ADMINISTRATORS or not account:
        raise Invalid(
            "node.bad_admin", f"管理员写法有误：{safe(given, 60)}", "请写成 system=zhang.san:张三"
        )
    return account, person or ROLE_NAMES[role], role


def _check_files(*paths: Path | None) -> None:
    for path in paths:
        if path is not None and not path.is_file():
            raise Invalid("node.no_file", f"没有文件 {path.name}", "请核对 TLS 文件的路径")


_PARTS = (
    *("litestar", "cedarpy", "argon2", "pyotp", "segno", "webauthn", "joserfc", "http_sf"),
    "prometheus_client",
)


def needs_extra() -> None:
    """Refuses what needs the libraries of a node where they are not installed.

    Raises:
        Unsupported: they are not.
    """
    from importlib.util import find_spec

    missing = [n for n in _PARTS if not find_spec(n)]
    if missing:
        raise Unsupported(
            "node.not_installed",
            f"运行节点所需的组件没有安装（{'、'.join(missing)}）",
            "请安装 pingyao[node]",
        )
