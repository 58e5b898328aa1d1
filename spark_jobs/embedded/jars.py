"""The JARs of conf/spark/jars.lock, fetched once by the Ivy that pyspark ships and checked by sha256, and the embedded server's own classes."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

LOCK = Path(__file__).resolve().parents[2] / "conf" / "spark" / "jars.lock"
# for lakes at s3a://, 690 MB: fetched on demand (`jars --s3`)
S3_LOCK = LOCK.with_name("jars-s3.lock")
FOLDER = Path(sys.prefix, "share", "throughline", "jars")
SERVER = Path(__file__).with_name("Server.java")


class JarError(RuntimeError):
    """A JAR could not be fetched, is not what the lock file says, or the server's classes could not be compiled."""


@dataclass(frozen=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.artifact}-{self.version}.jar"


def locked(lock: Path = LOCK) -> list[Jar]:
    """The lock file's lines."""
    lines = (line.split() for line in lock.read_text(encoding="utf-8").splitlines())
    return [Jar(*parts) for parts in lines if parts and parts[0] != "#"]


def is_right(jar: Jar, path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256


def pyspark_jars() -> Path:
    """The folder of the JARs that pyspark ships."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise JarError("pyspark is not installed in this environment: run `make setup`")
    return Path(spec.origin).with_name("jars")


def ivy() -> Path:
    """The Ivy library inside pyspark."""
    return next(pyspark_jars().glob("ivy-*.jar"))


def classes() -> Path:
    """The folder of the embedded server's compiled classes, named by what they are compiled from."""
    made_of = SERVER.read_bytes() + LOCK.read_bytes() + importlib.metadata.version("pyspark").encode()
    return FOLDER.with_name("classes") / hashlib.sha256(made_of).hexdigest()[:16]


def compile_server() -> None:
    """The classes of Server.java by the Janino that pyspark ships: no JDK is needed. Raises JarError with the compiler's words."""
    folder = classes()
    if folder.is_dir():
        return
    from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
    from py4j.protocol import Py4JJavaError

    jars = pyspark_jars()
    port, token = launch_gateway(
        jarpath=str(next(jars.glob("py4j-*.jar"))), classpath=f"{jars}/*", enable_auth=True, die_on_exit=True, java_path=java()
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port, auth_token=token))
    try:
        compiler = gateway.jvm.org.codehaus.janino.SimpleCompiler()
        compiler.cook(SERVER.name, gateway.jvm.java.io.StringReader(SERVER.read_text(encoding="utf-8")))
        made = {name: bytes(code) for name, code in compiler.getBytecodes().items()}
    except Py4JJavaError as error:
        raise JarError(f"{SERVER} could not be compiled: {error.java_exception.toString()}") from None
    finally:
        gateway.shutdown()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # whole or not at all
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        for name, code in made.items():
            path = Path(work, "classes", *name.split(".")).with_suffix(".class")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(code)
        try:
            Path(work, "classes").replace(folder)
        except OSError:
            # another process was first
            if not folder.is_dir():
                raise


def java() -> str:
    """The Java that everything here runs with."""
    return str(Path(os.environ["JAVA_HOME"], "bin", "java")) if os.environ.get("JAVA_HOME") else "java"


def fetch(s3: bool = False) -> None:
    """Every locked JAR into this environment; s3: those for lakes at s3a:// as well. Raises JarError naming the JAR and what to do."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in (*locked(), *(locked(S3_LOCK) if s3 else ())) if not is_right(jar, jar.path)]
    if missing:
        say(f"JARs: {len(missing)}, each checked by its sha256, into {FOLDER} …")
    for place, jar in enumerate(missing, start=1):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=FOLDER) as work:
            command = [java(), "-jar", str(ivy()), "-cache", f"{work}/cache", "-dependency", jar.group, jar.artifact, jar.version]
            command += ["-notransitive", "-types", "jar", "-confs", "default", "-retrieve", f"{work}/[artifact]-[revision].[ext]"]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            got = Path(work) / jar.path.name
            if not got.is_file():
                raise JarError(
                    f"could not fetch {jar.group}:{jar.artifact}:{jar.version}; is a Maven repository reachable? Ivy said: {run.stdout[-400:]}"
                )
            if not is_right(jar, got):
                raise JarError(f"{jar.path.name} is not the file that its lock in conf/spark names (sha256 differs); nothing was kept")
            got.replace(jar.path)
        say(f"  {place} of {len(missing)}  {jar.path.name}: {jar.path.stat().st_size / 1e6:.1f} MB in {time.monotonic() - began:.0f} s")
    wanted = {jar.path for lock in (LOCK, S3_LOCK) for jar in locked(lock)}
    for stray in set(FOLDER.glob("*.jar")) - wanted:
        stray.unlink()
    if not classes().is_dir():
        began = time.monotonic()
        compile_server()
        say(f"The Spark server's doors: compiled in {time.monotonic() - began:.0f} s")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        fetch(s3="--s3" in sys.argv[1:])
    except JarError as error:
        sys.exit(f"JarError: {error}")
