"""The session through which Spark is asked: one that is there, or one of our own."""

# pyright: reportMissingImports=false
# PySpark is an extra: the rest must check without it.

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

from pingyao.classify.sources.failures import failure

_SET_ELSEWHERE = ("PYSPARK_GATEWAY_PORT", "SPARK_HOME", "SPARK_CONF_DIR")
_ELSEWHERE = {
    # Kernels are compiled once an executor, in the directory it works in.
    "spark.executorEnv.NUMBA_CACHE_DIR": "numba-cache",
    "spark.log.level": "ERROR",
}


def open_session(conf: dict[str, str]) -> tuple[Any, Callable[[], None]]:
    """Returns a session and what ends it; one that was there before is left alone.

    Args:
        conf: settings ``spark.…``; without ``spark.master`` or ``spark.remote`` those of
            ``spark-submit`` or of an installed Spark hold, else this machine does it alone.

    Raises:
        PingyaoError: Spark or Java is absent, or the cluster does not answer.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise failure("spark.not_installed") from None
    existing = SparkSession.getActiveSession()
    if existing is not None:
        return existing, lambda: None
    remote = "spark.remote" in conf or "SPARK_REMOTE" in os.environ
    if not remote and not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise failure("spark.no_java")
    set_elsewhere = any(name in os.environ for name in _SET_ELSEWHERE)
    master = conf.get("spark.master", "" if remote or set_elsewhere else "local[*]")
    builder: Any = SparkSession.builder
    here = master.startswith("local")
    ours = _here(conf) | {"spark.master": master} if here else {} if remote else _ELSEWHERE
    for key, value in (ours | conf).items():
        builder = builder.config(key, value)
    if "spark.pyspark.python" in conf:
        os.environ.setdefault("PYSPARK_PYTHON", conf["spark.pyspark.python"])
    try:
        session = builder.appName("pingyao").getOrCreate()
    except (PySparkException, OSError, RuntimeError) as error:
        raise failure("spark.unreachable", master or "Spark", type(error).__name__) from None
    return session, session.stop


def _here(conf: dict[str, str]) -> dict[str, str]:
    """Settings for this machine alone: this Python, no port open to others, few tasks to add up."""
    os.environ.setdefault("PYSPARK_PYTHON", conf.get("spark.pyspark.python", sys.executable))
    return {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "4",
        "spark.log.level": "ERROR",
    }
