"""What befalls a database as a target, said alike whichever it is."""

from pingyao.kernel.errors import Conflict, Unavailable


def target_full(name: str) -> Unavailable:
    """Returns the error of a server that has no room for what it is given."""
    return Unavailable(
        "protect.target_full",
        f"写入 {name} 失败：目标数据库已无空间",
        "目标未作任何改动，已写入的暂存部分已删除；请数据库管理员扩充空间后重试",
    )


def unconfirmed(name: str) -> Conflict:
    """Returns the error of a release whose end nobody heard."""
    return Conflict(
        "protect.unconfirmed",
        f"放行 {name} 时与数据库失去连接，不能确定各表是否已移入，没有存证",
        "请查看目标中有没有这些表：有则移走后重做，没有则直接重做",
    )
