"""The JARs of conf/spark/jars.lock, fetched once by the Ivy that pyspark ships and checked by sha256."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

LOCK = Path(__file__).resolve().parents[2] / "conf" / "spark" / "jars.lock"
FOLDER = Path(sys.prefix, "share", "throughline", "jars")


class JarError(RuntimeError):
    """A JAR could not be fetched, or is not what the lock file says."""


@dataclass(frozen=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.artifact}-{self.version}.jar"


def locked() -> list[Jar]:
    """The lock file's lines."""
    lines = (line.split() for line in LOCK.read_text(encoding="utf-8").splitlines())
    return [Jar(*parts) for parts in lines if parts and parts[0] != "#"]


def is_right(jar: Jar, path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256


def ivy() -> Path:
    """The Ivy library inside pyspark."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise JarError("pyspark is not installed in this environment: run `make setup`")
    return next(Path(spec.origin).parent.glob("jars/ivy-*.jar"))


def fetch() -> None:
    """Every locked JAR into this environment. Raises JarError naming the JAR and what to do."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for jar in locked():
        if is_right(jar, jar.path):
            continue
        with tempfile.TemporaryDirectory(dir=FOLDER) as work:
            command = ["java", "-jar", str(ivy()), "-cache", f"{work}/cache", "-dependency", jar.group, jar.artifact, jar.version]
            command += ["-notransitive", "-types", "jar", "-confs", "default", "-retrieve", f"{work}/[artifact]-[revision].[ext]"]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            got = Path(work) / jar.path.name
            if not got.is_file():
                raise JarError(
                    f"could not fetch {jar.group}:{jar.artifact}:{jar.version}; is a Maven repository reachable? Ivy said: {run.stdout[-400:]}"
                )
            if not is_right(jar, got):
                raise JarError(f"{jar.path.name} is not the file that conf/spark/jars.lock names (sha256 differs); nothing was kept")
            got.replace(jar.path)
    wanted = {jar.path for jar in locked()}
    for stray in set(FOLDER.glob("*.jar")) - wanted:
        stray.unlink()


if __name__ == "__main__":
    try:
        fetch()
    except JarError as error:
        sys.exit(f"JarError: {error}")
