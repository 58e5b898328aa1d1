"""One Spark session per process: a thin Connect client when SPARK_REMOTE is set, else the session spark-submit or this process makes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from pyspark.sql import SparkSession

from conf.doors import connect_token, is_foreign
from conf.settings import platform, spark_confs
from spark_jobs.errors import ThroughlineError

SMALL_BYTES, FEW_BYTES = 100_000_000, 4_000_000
# what a server has from its start
STATIC = ("spark.sql.extensions", "spark.sql.catalog", "spark.hadoop", "spark.driver", "spark.python")


def jars() -> list[Path]:
    """The JARs that set-up fetched beside this Python environment, sorted."""
    return sorted(Path(sys.prefix, "share", "throughline", "jars").glob("*.jar"))


def sizes(lake: str) -> dict[str, bool]:
    """Whether a lake on this machine holds so few rows that compiling for them costs more than it saves (small), and so few that Spark's planning
    of files costs more than reading and writing them (few). A lake without any may be about to get many: what a run notes in ops before it
    looks for a session, a claim, is none of them."""
    found = bytes_of(lake)
    return {"small": 0 < found < SMALL_BYTES, "few": 0 < found < FEW_BYTES}


def bytes_of(lake: str) -> int:
    """The bytes of a local lake's rows."""
    rows = (path for path in Path(lake).rglob("*.parquet") if path.relative_to(lake).parts[0] != "ops")
    return sum(path.stat().st_size for path in rows)


def _connect(remote: str) -> SparkSession:
    """A client of the server at `remote`; one on this machine, or at THROUGHLINE_PRIVATE_HOST, is given its token (conf/doors.py)."""
    token, host = connect_token(), urlsplit(remote).hostname
    is_here = host in ("127.0.0.1", "localhost")
    if not token or not (is_here or host == os.environ.get("THROUGHLINE_PRIVATE_HOST")):
        return SparkSession.builder.remote(remote).getOrCreate()
    if is_here and is_foreign(port := urlsplit(remote).port or 15002):
        raise ThroughlineError(
            f"port {port} of this machine is another user's: the token was not sent; stop the services and start them again"
        )
    from pyspark.sql.connect.session import SparkSession as Remote

    from spark_jobs.io.connect import OwnMachine, OwnNetwork

    # what the builder of SparkSession.remote sets too
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    channel = OwnMachine(remote) if is_here else OwnNetwork(remote)
    channel.set(channel.PARAM_TOKEN, token)
    return cast(SparkSession, Remote.builder.channelBuilder(channel).getOrCreate())


def session_for(lake: str) -> SparkSession:
    """The process's session with the settings of what a lake holds. A server's own are for any lake: those of few rows are the session's."""
    found = sizes(lake)
    return get_session(small=found["few"] if "SPARK_REMOTE" in os.environ else found["small"], few=found["few"])


def get_session(app: str = "throughline", small: bool = False, few: bool = False) -> SparkSession:
    """The process's session. Connect and spark-submit set their own master; alone it is local[2]. small, few: with conf/spark/small.yml, few.yml."""
    remote, sizes = os.environ.get("SPARK_REMOTE"), [name for name, is_so in (("small", small), ("few", few)) if is_so]
    if remote:
        # a long transform is a deep message, deeper than the protobuf runtime decodes unless it is told
        from google._upb._message import SetAllowOversizeProtos

        SetAllowOversizeProtos(True)
        spark = _connect(remote)
        # a dead server is tried for half a minute, in which it may be started again; Spark's own policy tries for more than ten
        from pyspark.sql.connect.client.retries import DefaultPolicy

        spark.client.set_retry_policies([DefaultPolicy(max_retries=9, max_backoff=5_000)])
        for key, value in spark_confs("session", *sizes).items():
            if not key.startswith(STATIC):
                spark.conf.set(key, value)
        return spark
    # Python workers need this environment's packages (pyarrow, the agent parsers)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(app)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    chosen = spark_confs("session", *([] if submitted else ["local"]), *sizes)
    if not submitted:
        paths, master = [str(p) for p in jars()], platform().spark_master or "local[2]"
        chosen |= {
            "spark.master": master,
            # Spark's own ports, with a secret that it makes by itself; a cluster has one of its own
            "spark.authenticate": str(master.startswith("local")).lower(),
            "spark.driver.memory": platform().spark_driver_memory,
            "spark.jars": ",".join(paths),
            "spark.driver.extraClassPath": ":".join(paths),
        }
    for key, value in chosen.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    # its errors come back as exceptions; the logged ones quote the values of rows
    spark.sparkContext.setLogLevel("ERROR" if os.environ.get("THROUGHLINE_DEBUG") else "FATAL")
    return spark
