"""Docker's own readers: compose.yml by the loader of docker compose, the Dockerfile by BuildKit's parser, built from checker/ once."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKER = Path(__file__).with_name("checker")


@pytest.fixture(scope="session")
def checked(tmp_path_factory):
    """What a reader makes of a file, as JSON: checked("compose", FILE, PROFILE…, env={…}) or checked("dockerfile", FILE)."""
    if not (go := shutil.which("go")):
        pytest.skip("Go, which builds Docker's readers, is not on this machine")
    program = tmp_path_factory.mktemp("checker") / "checker"
    made = subprocess.run(
        [go, "build", "-o", str(program), "."],
        cwd=CHECKER,
        env={**os.environ, "GOFLAGS": "-buildvcs=false"},
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"Docker's readers could not be built: {made.stderr[-500:]}")

    def read(*words, env=None):
        done = subprocess.run(
            [str(program), *map(str, words)], env={"PATH": os.environ["PATH"], **(env or {})}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return read
