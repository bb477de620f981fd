"""The commands ``pingyao protect …``; each is imported when it is called."""

from cyclopts import App

app = App(name="protect", help="保护数据：按用途与级别给出方案，执行并证明 · protect data")
_COMMANDS = {
    "plan": ("plans:plan", "逐列说明该用途下必须怎样处理、为什么，并提出损失最小的技术"),
    "run": ("plans:run", "执行方案，复扫结果，确认没有不允许的内容后才放行"),
    "controls": ("plans:controls", "列出某环节对某级别、某类别数据的禁止、要求与建议"),
    "restore": ("restoring:restore", "还原保留格式加密与令牌库令牌的列，写明理由并存证"),
    "risk": ("tables:risk", "衡量一张表的再识别风险"),
    "anonymise": ("tables:anonymise", "归并准标识，使每一行都与至少 k-1 行无法区分"),
    "statistics": ("tables:statistics", "以差分隐私回答计数、求和与直方图"),
    "watermark": ("marks:watermark", "为一张表加上指明接收方的水印"),
    "trace": ("marks:trace", "从外泄的数据中认出接收方"),
    "document": ("files:document", "遮盖文档中的证件号、卡号、信用代码、手机号、邮箱"),
    "seal": ("files:seal", "加密一个文件或数据集，附散列树"),
    "open": ("files:open_", "解密一个加密文件"),
    "verify": ("files:verify", "不用密钥，核对加密文件与其散列树"),
    "rewrap": ("files:rewrap", "密钥轮换后，把加密文件换到在用的版本"),
    "tokenise": ("tokens:tokenise", "把标准输入的各行换成令牌库中的令牌"),
    "detokenise": ("tokens:detokenise", "把标准输入各行的令牌还原为原值，写明理由并存证"),
}
for _name, (_path, _help) in _COMMANDS.items():
    app.command(f"pingyao.app.protect.{_path}", name=_name, help=_help)
