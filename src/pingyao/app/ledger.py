"""The commands ``pingyao ledger …``: the log's own, and those that serve it and feed it."""

from pingyao.ledger.cli import app

app.command("pingyao.ledger.verifying:verify", name="verify", help="离线核验证明文件")
app.command("pingyao.app.evidence:drain", name="drain", help="把待存证的事项写入账本")
app.command("pingyao.app.evidence:fsck", name="fsck", help="通读账本，逐字节重算比对")
app.command("pingyao.app.evidence:erase", name="erase", help="销毁一件存证内容的密钥")
app.command("pingyao.ledger.serving:serve", name="serve", help="按 C2SP tlog-tiles 发布账本")
app.command("pingyao.ledger.serving:witness", name="witness", help="见证方：新建与运行")
app.command("pingyao.ledger.serving:mirror", name="mirror", help="镜像方：新建与运行")
app.command("pingyao.ledger.watching:restore", name="restore", help="从镜像方恢复丢失的账本")
app.command("pingyao.ledger.watching:monitor", name="monitor", help="比较各方所见，发现分叉即报警")
app.command("pingyao.app.entitled:reader", name="reader", help="为有权解读存证的一方生成密钥")
app.command("pingyao.app.evidence:pack", name="pack", help="出具存证证明：PDF、证明文件与核验方法")
app.command("pingyao.ledger.watching:timestamp", name="timestamp", help="为当前检查点取得时间戳")
app.command("pingyao.ledger.national_cli:national", name="sm3", help="国密树：签署、核验、取证")
app.command("pingyao.ledger.rotating:rotate_key", name="rotate", help="轮换签名密钥，登记在账本中")
app.command("pingyao.ledger.rotating:trust", name="trust", help="凭轮换的证明离线换用新公钥")
