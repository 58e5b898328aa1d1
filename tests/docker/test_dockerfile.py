"""docker/Dockerfile as BuildKit itself reads it, and the rules of the house for the image."""

import re

import pytest

from conf.settings import REPOSITORY

FILE = REPOSITORY / "docker" / "Dockerfile"


@pytest.fixture(scope="module")
def read(checked):
    return checked("dockerfile", FILE)


@pytest.fixture(scope="module")
def last(read):
    """The commands of the stage that the image is, in order."""
    return read["stages"][-1]["commands"]


def words(commands, name):
    return [command for command in commands if command.split()[0] == name]


def test_buildkit_parses_it_and_has_nothing_to_warn_of(read):
    assert read["warnings"] == [] and [stage["from"] for stage in read["stages"]] == ["python:3.11-slim-bookworm", "base", "base"]


def test_the_image_is_a_numbered_user_s_has_a_health_check_and_its_entrypoint(last):
    assert words(last, "USER") == ["USER 10001:10001"]
    # nothing after it is root's
    assert not words(last[last.index("USER 10001:10001") :], "RUN")
    assert len(words(last, "HEALTHCHECK")) == 1 and words(last, "ENTRYPOINT") == ['ENTRYPOINT ["/opt/throughline/docker/with-secrets"]']


def test_what_is_in_it_is_locked(read):
    build = " ".join(words(read["stages"][1]["commands"], "RUN"))
    assert "--require-hashes --requirement requirements.txt" in build and "spark_jobs.embedded.jars" in build
    # no other way in: no address, no package without its lock
    everything = FILE.read_text(encoding="utf-8")
    assert not re.search(r"curl|wget|https?://", everything) and everything.count("pip install") == 1


def test_no_secret_reaches_a_layer(read):
    said = [command for stage in read["stages"] for command in (*words(stage["commands"], "ENV"), *words(stage["commands"], "ARG"))]
    assert not [command for command in said if re.search("PASSWORD|SECRET|TOKEN|KEY", command)]
    rules = [line for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    assert rules[0] == "*"
    assert kept == {
        "requirements.txt",
        ".airflowignore",
        "conf",
        "connectors",
        "dags",
        "spark_jobs",
        "docker/with-secrets",
        "docker/compose.yml",
    }
    assert all((REPOSITORY / path).exists() for path in kept)
