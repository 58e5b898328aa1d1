"""Every door of the running services, tried by its user and by another user of the machine."""

import datetime as dt
import json
import os
import subprocess
import sys
from decimal import Decimal

import psutil
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from conf import doors
from conf.settings import REPOSITORY
from conf.tables import table
from spark_jobs.embedded import jars, services
from spark_jobs.embedded.airflow_api import AirflowApi
from spark_jobs.io.small import arrow_type
from tests.whole import worlds

pytestmark = pytest.mark.timeout(900)
REFUSED = "JDBC reads the gold tables and nothing else"
# what a BI tool asks, and one of the first words of the lines that it is told
ALLOWED = {
    "select count(*) from gold.channel_daily": "3",
    "select count(*) from channel_daily": "3",
    "with a as (select * from gold.channel_daily), b as (select distinct channel from a) select count(*) from a join b using (channel)": "3",
    "select count(*) from gold.channel_daily where channel in (select channel from spark_catalog.gold.channel_daily)": "3",
    "select count(*) from gold.channel_daily version as of 1": "3",
    "select sum(x) from (select row_number() over (order by day) as x from gold.channel_daily limit 2)": "3",
    "select max(cast(date_trunc('month', day) as date) > date'2000-01-01' and upper(channel) like '%') from gold.channel_daily": "true",
    "select count(*) from (select 1 union all select 2) lateral view explode(array(1, 2)) t as n": "4",
    "select '${env:PATH}'": "${env:PATH}",
    "show databases": "gold",
    "show tables in gold like 'people'": "gold",
    "describe gold.people": "person_id",
    "describe gold.people person_id": "col_name",
    "use gold": "",
}
DENIED = (
    "delete from gold.channel_daily",
    "update gold.channel_daily set revenue_amount = 0",
    "insert into gold.channel_daily select * from gold.channel_daily",
    "merge into gold.people a using gold.people b on a.person_id = b.person_id when matched then delete",
    "truncate table gold.people",
    "drop table gold.people",
    "drop database gold cascade",
    "alter table gold.people add columns (x int)",
    "create table gold.mine as select 1 as x",
    "create table mine (x int) using delta location '{home}/lake/silver/products'",
    "create temporary view mine as select * from delta.`{home}/lake/silver/products`",
    "create temporary view mine using parquet options (path '{home}/lake/vault/identifiers')",
    "cache table mine as select 1",
    "insert overwrite directory '{home}/out' using csv select 1",
    "select * from delta.`{home}/lake/vault/identifiers`",
    "select * from parquet.`{home}/lake/vault/identifiers`",
    "select * from text.`/etc/hostname`",
    "select * from `delta`.`file:{home}/lake/silver/products`",
    "with a as (select * from text.`/etc/hostname`) select * from a",
    "select (select max(value) from text.`/etc/hostname`) as x from gold.people",
    "select * from gold.people where exists (select 1 from text.`/etc/hostname`)",
    "select * from gold.people with (path = '/etc')",
    "select * from identifier('text.`/etc/hostname`')",
    "select * from silver.events",
    "select * from vault.identifiers",
    "select * from default.anything",
    "select * from table_changes_by_path('{home}/lake/silver/products', 0)",
    "select java_method('java.lang.System', 'getProperty', 'user.home')",
    "select reflect('java.lang.System', 'getProperty', 'user.home')",
    "select count(*) from gold.people where try_reflect('java.lang.System', 'getProperty', 'user.home') = ''",
    "select identifier('java_method')('java.lang.System', 'getProperty', 'user.home')",
    "select * from gold.people version as of java_method('java.lang.Integer', 'valueOf', '1')",
    "select transform(person_id) using 'cat' from gold.people",
    "from gold.people select transform(*) using 'cat' as (x)",
    "set spark.sql.variable.substitute = true",
    "set",
    "reset",
    "add jar '/tmp/x.jar'",
    "add file '/etc/hostname'",
    "list files",
    "create function f as 'x.Y'",
    "create temporary function f() returns int return 1",
    "declare variable x string default 'a'",
    "execute immediate 'select 1'",
    "begin select 1; end",
    "explain select * from gold.people",
    "explain delete from gold.people",
    "describe delta.`{home}/lake/silver/products`",
    "describe history gold.people",
    "describe detail gold.people",
    "describe extended gold.people",
    "describe formatted gold.people",
    "describe extended gold.people person_id",
    "describe extended gold.people as json",
    "describe database gold",
    "describe database extended gold",
    "show table extended in gold like '*'",
    "show tblproperties gold.people",
    "show partitions gold.people",
    "select input_file_name() from gold.people",
    "select _metadata.file_path from gold.people",
    "select p._METADATA.file_path from gold.people p",
    "select `_metadata`.* from gold.people",
    "select _metadata from gold.people",
    "select count(*) from gold.people where _metadata.file_path like '%/lake/%'",
    "show create table gold.people",
    "show tables in silver",
    "use default",
    "use database default",
    "set catalog spark_catalog",
    "refresh table gold.people",
    "analyze table gold.people compute statistics",
    "vacuum gold.people",
    "optimize gold.people",
    "restore table gold.people to version as of 0",
    "kill query 'x'",
)


def write(lake, name, rows):
    """Rows as a table of the lake, typed by its contract; columns that a row does not name are null."""
    schema = pa.schema([(c.name, arrow_type(c.type)) for c in table(name).columns])
    write_deltalake(str(lake / name.replace(".", "/")), pa.Table.from_pylist(rows, schema=schema), mode="append")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """(services, home) over a few tables."""
    home = tmp_path_factory.mktemp("doors")
    day = {"day": dt.date(2026, 3, 31), "model": "linear", "revenue_amount": Decimal("2.50"), "currency": "GBP"}
    for channels in (("Email", "Direct"), ("Organic Search",)):
        write(home / "lake", "gold.channel_daily", [day | {"channel": channel} for channel in channels])
    write(home / "lake", "gold.people", [{"person_id": "p1"}])
    write(home / "lake", "silver.products", [{"product_id": "p1"}])
    write(home / "lake", "vault.identifiers", [{"value": "a raw address"}])
    with worlds.services_at(home) as found:
        yield found, home


def beeline(found, *words, statements=(), user=None):
    """(exit code, lines of output, errors) of a JDBC client; user: the uid it runs as."""
    # a client that lives for seconds compiles no method a second time
    command = [
        "java",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Djava.io.tmpdir=/tmp",
        "-cp",
        f"{jars.pyspark_jars()}/*",
        "org.apache.hive.beeline.BeeLine",
    ]
    command += ["-u", found.jdbc_url, "--outputformat=csv2", "--showHeader=false", "--silent=true", "--force=true", *words]
    command += [word for statement in statements for word in ("-e", statement + ";")]
    who = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    env = {"PATH": os.environ["PATH"], "HOME": "/tmp"}
    done = subprocess.run(command, env=env, cwd="/tmp", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, **who)
    return done.returncode, done.stdout.splitlines(), [line for line in done.stderr.splitlines() if line.startswith("Error: ")]


def as_nobody(script, *arguments):
    """What a Python script prints that gives its rights away before it begins."""
    drop = "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    done = subprocess.run([sys.executable, "-c", HELPERS + drop + script, *arguments], cwd="/", capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


# everything that is imported has to be before the rights are gone: the interpreter may lie where nobody else reads
HELPERS = """
import encodings.idna, http.client, json, socket, sys, uuid
import grpc
from pyspark.sql.connect.proto import base_pb2 as messages, base_pb2_grpc as service

def connect(port, *metadata):
    asked = messages.AnalyzePlanRequest(session_id=str(uuid.uuid4()), spark_version=messages.AnalyzePlanRequest.SparkVersion())
    asked.user_context.user_id = "throughline"
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            return service.SparkConnectServiceStub(channel).AnalyzePlan(asked, metadata=metadata, timeout=30).spark_version.version
    except grpc.RpcError as error:
        return error.code().name

def ask(port, method, path, body=None, **headers):
    there = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
    there.putrequest(method, path, skip_host="host" in headers)
    data = json.dumps(body).encode() if body is not None else b""
    for name, value in {"content_type": "application/json", "content_length": str(len(data)), **headers}.items():
        there.putheader(name.replace("_", "-"), value)
    there.endheaders(data)
    reply = there.getresponse()
    return reply.status, dict((k.lower(), v) for k, v in reply.getheaders()), reply.read().decode(errors="replace")
"""
ANYBODY = pytest.mark.skipif(os.getuid() != 0, reason="only root can try as another user")


@ANYBODY
def test_connect_asks_for_its_token(running):
    found, _ = running
    tries = "print(json.dumps([connect(sys.argv[1]), connect(sys.argv[1], ('authorization', 'Bearer wrong')), connect(sys.argv[1], ('authorization', sys.argv[2]))]))"
    said = as_nobody(tries, str(found.ports["connect"]), f"Bearer {doors.connect_token()}")
    assert said[:2] == ["UNAUTHENTICATED", "UNAUTHENTICATED"] and said[2].startswith("4.")


def test_the_product_s_own_commands_bring_the_token_themselves(running):
    found, home = running
    env = {k: v for k, v in os.environ.items() if not k.startswith("SPARK_")} | {"SPARK_REMOTE": found.remote}
    script = "from spark_jobs.io.session import get_session; print(get_session(small=True, few=True).range(3).count())"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["3"], done.stderr[-2000:]
    # an analyst's own program, as the README says
    plain = f"from pyspark.sql import SparkSession as S; print(S.builder.remote('sc://localhost:{found.ports['connect']}').getOrCreate().range(3).count())"
    own = {**env, "SPARK_CONNECT_AUTHENTICATE_TOKEN": doors.connect_token()}
    del own["SPARK_REMOTE"]
    done = subprocess.run([sys.executable, "-c", plain], env=own, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["3"], done.stderr[-2000:]
    env["THROUGHLINE_HOME"] = str(home / "another")
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode and "No authentication token provided" in done.stderr


@ANYBODY
def test_jdbc_asks_for_its_user_and_password(running):
    found, home = running
    password = (home / doors.JDBC_PASSWORD).read_text()
    for who in ((), ("-n", doors.JDBC_USER), ("-n", doors.JDBC_USER, "-p", "wrong"), ("-n", "root", "-p", password)):
        _, said, _ = beeline(found, *who, statements=["select 1 + 1"], user=65534)
        assert "2" not in said, who
    assert beeline(found, "-n", doors.JDBC_USER, "-p", password, statements=["select 1 + 1"], user=65534)[1] == ["2"]


def test_jdbc_reads_gold_by_name(running):
    found, home = running
    who = ("-n", doors.JDBC_USER, "-w", str(home / doors.JDBC_PASSWORD))
    # settings of a client are not taken over: a variable stays text
    settings = ("--hiveconf", "spark.sql.variable.substitute=true", "--hivevar", "spark.sql.runSQLOnFiles=true")
    statements = [word for asked in ALLOWED for word in (asked, f"select 'after {len(asked)}'")]
    _, said, errors = beeline(found, *who, *settings, statements=statements)
    assert errors == []
    ends = [place for place, line in enumerate(said) if line.startswith("after ")]
    assert len(ends) == len(ALLOWED)
    answers = {asked: said[begin + 1 : end] for asked, begin, end in zip(ALLOWED, [-1, *ends], ends, strict=False)}
    for asked, wanted in ALLOWED.items():
        words = [line.split(",")[0] for line in answers[asked]]
        assert wanted in (words or [""]), (asked, answers[asked])


def test_jdbc_refuses_everything_else_in_one_sentence(running):
    found, home = running
    before = sorted(path for path in (home / "lake").rglob("*"))
    who = ("-n", doors.JDBC_USER, "-w", str(home / doors.JDBC_PASSWORD))
    statements = [word for asked in DENIED for word in (asked.format(home=home), "select 'next'")]
    _, said, errors = beeline(found, *who, statements=statements)
    assert said == ["next"] * len(DENIED)
    assert len(errors) == len(DENIED), list(zip(DENIED, errors, strict=False))
    wrong = {asked: error for asked, error in zip(DENIED, errors, strict=True) if REFUSED not in error}
    # what does not parse at all is no statement
    assert all("PARSE_SYNTAX_ERROR" in error for error in wrong.values()), wrong
    assert len(wrong) == 3, wrong
    assert sorted(path for path in (home / "lake").rglob("*")) == before
    assert not (home / "out").exists()


def test_a_new_gold_table_has_its_name_without_a_restart(running):
    found, home = running
    who = ("-n", doors.JDBC_USER, "-w", str(home / doors.JDBC_PASSWORD))
    asked = ["show tables in gold like 'funnel_daily'"]
    assert beeline(found, *who, statements=asked)[1] == []
    write(home / "lake", "gold.funnel_daily", [])
    assert beeline(found, *who, statements=[*asked, "select count(*) >= 0 from funnel_daily"])[1] == ["gold,funnel_daily,false", "true"]


@ANYBODY
def test_airflow_gives_its_token_to_its_user_and_its_own_names_only(running):
    found, _ = running
    port = str(found.ports["airflow"])
    tries = """
port, password = sys.argv[1:]
me = {"username": "admin", "password": password}
print(json.dumps({
    "get": ask(port, "GET", "/auth/token")[0],
    "login": ask(port, "GET", "/auth/token/login")[0],
    "empty": ask(port, "POST", "/auth/token", {})[0],
    "wrong": ask(port, "POST", "/auth/token", {"username": "admin", "password": "wrong"})[0],
    "evil host": ask(port, "POST", "/auth/token", me, host="evil.example:" + port)[0],
    "evil host, page": ask(port, "GET", "/", host="evil.example")[0],
    "another port": ask(port, "GET", "/", host="127.0.0.1:1")[0],
    "evil origin": ask(port, "POST", "/auth/token", me, origin="http://evil.example")[0],
    "another port's origin": ask(port, "POST", "/auth/token", me, origin="http://127.0.0.1:1")[0],
    "cross-site": ask(port, "POST", "/auth/token", me, sec_fetch_site="cross-site")[0],
    "dags": ask(port, "GET", "/api/v2/dags")[0],
    "report": ask(port, "GET", "/throughline/report")[0],
    "right": ask(port, "POST", "/auth/token", me)[0],
    "own name": ask(port, "POST", "/auth/token", me, host="localhost:" + port, origin="http://localhost:" + port)[0],
}))
"""
    said = as_nobody(tries, port, doors.airflow_password())
    assert {said.pop("get"), said.pop("login")} <= {401, 403, 405}
    assert said == {
        "empty": said["empty"], "wrong": 401, "evil host": 403, "evil host, page": 403, "another port": 403, "evil origin": 403,
        "another port's origin": 403, "cross-site": 403, "dags": 401, "report": 307, "right": 201, "own name": 201,
    }  # fmt: skip
    assert said["empty"] in (400, 401, 422)


def test_the_report_in_airflow_is_for_who_is_logged_in_and_in_no_foreign_frame(running):
    found, home = running
    port = str(found.ports["airflow"])
    worlds.command(home, "spark_jobs", "report")
    api = AirflowApi(found.airflow_url)
    api.call("GET", "/dags")
    tries = "print(json.dumps(ask(sys.argv[1], 'GET', '/throughline/report', **{sys.argv[2]: sys.argv[3]})))"
    script = HELPERS + tries
    for header, value in (("authorization", f"Bearer {api._token}"), ("cookie", f"_token={api._token}")):
        done = subprocess.run([sys.executable, "-c", script, port, header, value], capture_output=True, text=True, check=True)
        status, headers, text = json.loads(done.stdout)
        assert status == 200 and "Content-Security-Policy" in text
        assert headers["content-security-policy"] == "frame-ancestors 'self'" and headers["x-frame-options"] == "SAMEORIGIN"
    done = subprocess.run([sys.executable, "-c", script, port, "cookie", "_token=wrong"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0] == 307


def test_no_secret_is_on_a_command_line_or_in_a_log(running):
    found, home = running
    keys = json.loads((home / "airflow" / "secrets.json").read_text())
    hidden = [doors.connect_token(), (home / doors.JDBC_PASSWORD).read_text(), doors.airflow_password(), *keys.values()]
    ours = services._processes_of(found.mark, [service.process.pid for service in found.running])
    assert len(ours) >= 4
    for process in ours:
        try:
            said = " ".join(process.cmdline())
        except psutil.Error:
            continue
        assert not [secret for secret in hidden if secret in said], process.name()
    kept = {home / doors.CONNECT_TOKEN, home / doors.JDBC_PASSWORD, home / doors.AIRFLOW_PASSWORDS, home / "airflow" / "secrets.json"}
    for path in (path for path in home.rglob("*") if path.is_file() and path not in kept and "lake" not in path.relative_to(home).parts):
        body = path.read_bytes()
        assert not [secret for secret in hidden if secret.encode() in body], path


@ANYBODY
def test_another_user_reads_no_environment_and_no_file(running):
    found, home = running
    pids = [str(service.process.pid) for service in found.running]
    tries = """
def may_read(path):
    try:
        open(path, "rb").read()
        return True
    except PermissionError:
        return False
print(json.dumps([path for path in sys.argv[1:] if may_read(path)]))
"""
    files = [
        str(home / name) for name in (doors.CONNECT_TOKEN, doors.JDBC_PASSWORD, doors.AIRFLOW_PASSWORDS, "logs/spark.log", "services.json")
    ]
    assert as_nobody(tries, *files, *(f"/proc/{pid}/environ" for pid in pids)) == []
    # the lake is a copy of this test's; Spark opens its copies of public JARs itself
    made = [path for path in home.rglob("*") if "lake" not in path.relative_to(home).parts and path.suffix != ".jar"]
    assert [str(path) for path in made if path.exists() and not path.is_symlink() and path.stat().st_mode & doors.OTHERS] == []


@ANYBODY
def test_no_port_of_spark_s_own_takes_a_message_without_its_secret(running):
    found, _ = running
    (server,) = [service.process.pid for service in found.running if service.name == "spark"]
    java = [process for process in [psutil.Process(server), *psutil.Process(server).children(recursive=True)] if process.name() == "java"]
    ports = {c.laddr.port for process in java for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    own = sorted(ports - set(found.ports.values()))
    assert len(own) >= 2
    # a request of four bytes in the frame of Spark's transport
    tries = """
said = []
for port in sys.argv[1:]:
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as there:
        body = bytes([3]) + (1).to_bytes(8, "big") + (4).to_bytes(4, "big") + b"none"
        there.sendall((8 + len(body)).to_bytes(8, "big") + body)
        there.settimeout(10)
        said.append(there.recv(4096).decode(errors="replace"))
print(json.dumps(said))
"""
    for said in as_nobody(tries, *map(str, own)):
        assert "Expected SaslMessage" in said, said


def test_the_servers_listen_on_this_machine_alone(running):
    found, _ = running
    listening = [c.laddr for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port in found.ports.values()]
    assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"} and len(listening) >= 3
