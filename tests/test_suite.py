"""The suite itself: what takes long says what it costs (a run ends with a list of the tests that do not), and it needs no second process."""

import subprocess
import sys

from conf.settings import REPOSITORY
from tests.conftest import untold

SAYS = '"""Of a file.\n\nCosts about a minute.\n"""\n\n\ndef test_one():\n    pass\n'
SILENT = """class TestAll:
    def test_one(self):
        pass


def test_two():
    \"\"\"Costs about 30 s.\"\"\"
"""


def test_a_test_beyond_20_s_that_does_not_say_so_is_listed_with_all_its_parts(tmp_path):
    (tmp_path / "test_says.py").write_text(SAYS)
    (tmp_path / "test_silent.py").write_text(SILENT)
    silent = "test_silent.py::TestAll::test_one[a-b]"
    parts = [("test_says.py::test_one", 60.0), (silent, 15.0), ("test_silent.py::test_two", 30.0), (silent, 6.0)]
    assert untold(parts, tmp_path) == [f"   21 s {silent}"]
    assert untold([(silent, 19.0), ("test_silent.py::test_two[x]", 30.0)], tmp_path) == []


def test_the_suite_runs_in_one_process_without_the_plugin_for_several():
    words = [sys.executable, "-m", "pytest", "-p", "no:xdist", "tests/conf/test_expressions.py"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
