"""The whole selection by one spark-submit on a real standalone cluster: one master, two workers.

Costs about five minutes on two cores: one world, built in this process and by the cluster.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conf.settings import REPOSITORY, spark_confs
from dags.common.spark import submit_command
from spark_jobs.io.lake import Lake
from tests.whole import worlds

BIN = Path(sys.executable).parent
pytestmark = pytest.mark.timeout(3600)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def master(tmp_path):
    """spark://… of a cluster that ends with the test."""
    port, env = free_port(), {**os.environ, **worlds.FEW_ROWS_JVM, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    url = f"spark://127.0.0.1:{port}"
    head = "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"
    hand = "org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", "2g", "--webui-port", "0"
    with contextlib.ExitStack() as stack:
        logs = []
        for number, words in enumerate((head, (*hand, url), (*hand, url))):
            logs.append(tmp_path / f"spark-{number}.log")
            folder = ["--work-dir", str(tmp_path / f"work-{number}")] if number else []
            words = [*words[:-1], *folder, words[-1]] if number else [*words]
            output = stack.enter_context(logs[-1].open("w"))
            process = subprocess.Popen(
                [str(BIN / "spark-class"), *words], env=env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            stack.callback(process.wait, 20)
            stack.callback(os.killpg, process.pid, signal.SIGTERM)
            if not number:
                wait_for(logs[0], "I have been elected leader")
        for log in logs[1:]:
            wait_for(log, "Successfully registered with master")
        yield url


def wait_for(log: Path, words: str) -> None:
    until = time.monotonic() + 60
    while words not in log.read_text(errors="replace"):
        assert time.monotonic() < until, f"no {words!r} in {log.read_text(errors='replace')[-1000:]}"
        time.sleep(0.2)


def test_one_submit_builds_the_same_tables(built, tmp_path, master, monkeypatch):
    lake, home = built
    own = tmp_path / "home"
    shutil.copytree(home / "vault", own / "vault")
    shutil.copytree(home / "landing", own / "landing")
    shutil.copytree(home / "lake" / "bronze", own / "lake" / "bronze")
    monkeypatch.setenv("THROUGHLINE_SPARK_MASTER", master)
    confs = [word for key, value in spark_confs("local", "small").items() for word in ("--conf", f"{key}={value}")]
    words = [*submit_command(), "--conf", "spark.executor.memory=1g", *confs, str(REPOSITORY / "spark_jobs" / "__main__.py")]
    words += ["run", *worlds.SELECTION, "--from", str(worlds.FIRST), "--to", str(worlds.LAST)]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_"))}
    env |= {
        **worlds.FEW_ROWS_JVM,
        "THROUGHLINE_HOME": str(own),
        "PYTHONPATH": str(REPOSITORY),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert re.search(r'"wrote": \d+', done.stdout)
    assert worlds.hashes(Lake(lake.spark, str(own / "lake"))) == worlds.hashes(lake)
