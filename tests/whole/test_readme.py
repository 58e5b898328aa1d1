"""The README's commands, run one after another on a fresh home as a newcomer would.

Costs about ten minutes on two cores: the demo twice, then each command beside it.
"""

import gzip
import json
import os
import re
import shlex
import subprocess

import pytest

from conf.settings import REPOSITORY
from spark_jobs.io.small import open_table, query

pytestmark = pytest.mark.timeout(3600)
# `make test` is what runs this; the cluster and the real data have tests of their own; benchmarks take an hour
# one whose events are pulled, one that sends them, one of spend; each of the others costs as much time again
VENDORS = "klaviyo sendgrid meta_ads"
LEFT_OUT = ("make test", "make real", "make up", "make bench", "spark-submit")


def commands() -> list[str]:
    """Every command of the README's shell blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.S)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line]


def broken_event(home) -> str:
    """The id of a web event that was set aside because it does not parse; a whole record is laid beside as repaired.json."""
    rows = query(open_table(home / "lake", "silver.events__quarantine")).to_pylist()
    first = sorted((home / "drops/sandbox_site/events").glob("*.jsonl.gz"))[0]
    record = json.loads(gzip.decompress(first.read_bytes()).splitlines()[0])
    (home / "repaired.json").write_text(json.dumps(record | {"id": "repaired-by-hand"}), encoding="utf-8")
    return next(r["quarantine_id"] for r in rows if r["source"] == "sandbox_site" and r["_reason"] == "malformed_json")


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    home = tmp_path_factory.mktemp("newcomer")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_", "AIRFLOW_"))}

    def run(command: str) -> str:
        done = subprocess.run(
            command,
            shell=True,
            cwd=REPOSITORY,
            env={**kept, "THROUGHLINE_HOME": str(home), "VENDORS": VENDORS},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    return run, home


def test_the_demo_runs_and_runs_again_without_a_change(shell):
    run, home = shell
    first = run("make demo")
    assert "done after" in first and "FAILED" not in first and (home / "report.html").is_file()
    assert not (home / "services.json").exists()
    assert "nothing changed: no table was rewritten" in run("make demo ONCE=1")


def test_every_other_command_of_the_readme_does_what_it_says(shell):
    run, home = shell
    identifier = broken_event(home)
    found = [c for c in commands() if not c.startswith((*LEFT_OUT, "make demo"))]
    said = {}
    for command in found:
        ready = command.replace("--lake PATH", f"--lake {shlex.quote(str(home / 'lake'))}").replace(" ID ", f" {identifier} ")
        ready = ready.replace(" FILE", f" {shlex.quote(str(home / 'key.json'))}")
        said[command] = run(ready.replace("repaired.json", shlex.quote(str(home / "repaired.json"))))
    assert any("quarantine replay" in c for c in found) and any("explain table" in c for c in found)
    rows = query(open_table(home / "lake", "silver.events__quarantine")).to_pylist()
    assert next(r["_status"] for r in rows if r["quarantine_id"] == identifier) != "open"
    events = query(open_table(home / "lake", "silver.events"), "select client_event_id from rows")["client_event_id"].to_pylist()
    assert events.count("repaired-by-hand") == 1
