"""The command line: a user's mistake ends with one sentence and exit code 2."""

import subprocess
import sys

import pytest

from conf.settings import REPOSITORY

DAYS = ["--from", "2026-01-01", "--to", "2026-01-02"]
MISTAKES = [
    (["run"], "Missing argument"),
    (["run", "gold", "--from", "2026-01-01"], "Missing option"),
    (["nope"], "No such command"),
    (["run", "gold", "--bogus"], "No such option"),
    (["quarantine", "show", "silver.events", "--limit", "x"], "should be a valid integer"),
    (["real"], "Missing option"),
    (["run", "gold", "--from", "yesterday", "--to", "2026-01-02"], "'yesterday' is no day: write YYYY-MM-DD"),
    (["run", "gold", "--from", "2026-01-03", "--to", "2026-01-02"], "--from 2026-01-03 is after --to 2026-01-02"),
    (["run", "golden", *DAYS], "nothing is called 'golden'"),
    (["explain", "row", "gold"], "cannot explain a 'row'"),
    (["quarantine", "show", "silver.events", "no-such-row"], "no quarantined rows"),
    (["report", "--out", "."], "is a folder"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_sentence(home, words, said):
    done = subprocess.run([sys.executable, "-m", "spark_jobs", *words], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr[-500:]
    assert said in " ".join(done.stderr.replace("│", " ").split())
