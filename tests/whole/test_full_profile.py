"""The full profile, without Docker: the services of docker/compose.yml (PostgreSQL, Airflow, a Spark cluster) build a whole small world.

Costs about four minutes on two cores: the services started, and one world built by them.
"""

import contextlib
import os
import shutil
import uuid

import grpc
import psutil
import pytest
from pyspark.sql.connect.proto import base_pb2 as messages, base_pb2_grpc as service

from conf import doors
from spark_jobs.embedded import full, services
from spark_jobs.embedded.airflow_api import AirflowApi
from spark_jobs.io.connect import OwnNetwork
from spark_jobs.io.lake import Lake
from tests.whole import worlds
from tests.whole.test_airflow import finished, log_of

pytestmark = pytest.mark.timeout(3600)
INGESTS = [f"ingest_{source}" for source in worlds.SOURCES]
BUILD = "build_daily"


def of_start(mark):
    """(command line, addresses it listens on) of every process of a start."""
    found = []
    for process in services._processes_of(mark, []):
        # it may end while it is looked at
        with contextlib.suppress(psutil.Error):
            listening = [c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
            found.append((" ".join(process.cmdline()), listening))
    return found


def spark_version(remote, with_token):
    """What the Connect server answers to who comes over a network without TLS, as Airflow's tasks do between containers."""
    channel = OwnNetwork(remote)
    channel.set(channel.PARAM_TOKEN, doors.connect_token())
    asked = messages.AnalyzePlanRequest(session_id=str(uuid.uuid4()), spark_version=messages.AnalyzePlanRequest.SparkVersion())
    asked.user_context.user_id = "throughline"
    try:
        stub = service.SparkConnectServiceStub(channel.toChannel())
        return stub.AnalyzePlan(asked, metadata=channel.metadata() if with_token else (), timeout=30).spark_version.version
    except grpc.RpcError as error:
        return error.code().name


def test_a_world_built_by_the_services_of_compose_is_that_of_one_process(built, tmp_path_factory):
    try:
        full.postgres_programs()
    except services.ServiceError as error:
        pytest.skip(str(error))
    lake, other = built
    home = tmp_path_factory.mktemp("full")
    shutil.copytree(other / "vault", home / "vault")
    worlds.make_drops(home)
    with worlds.services_at(home, "full") as found:
        pids = [service.process.pid for service in found.running]
        assert {service.name for service in found.running} >= {
            "postgres",
            "airflow-scheduler",
            "spark-master",
            "spark-worker-2",
            "spark-connect",
        }
        assert services.ailments(services.running_state()) == dict.fromkeys((service.name for service in found.running), "")
        # no database of its own: what Airflow knows is in PostgreSQL
        assert (home / "postgres" / "pgdata" / "PG_VERSION").is_file() and not (home / "airflow" / "airflow.db").exists()
        api = AirflowApi(found.airflow_url)
        for dag in (BUILD, *INGESTS):
            api.wait_for_dag(dag)
            api.unpause(dag)
        for dag in (*INGESTS, BUILD):
            run = api.trigger(dag, {"from": str(worlds.FIRST), "to": str(worlds.LAST)})
            assert finished(api, dag, run, 1500) == "success", log_of(home, dag, run)
        assert [spark_version(found.remote, is_given) for is_given in (True, False)] == ["4.2.0", "UNAUTHENTICATED"]
        hidden = [doors.airflow_password(), *(path.read_text() for path in full.secret_files(home).values())]
        seen = of_start(found.mark)
        assert len(seen) > len(pids) and not [line for line, _ in seen for secret in hidden if secret in line]
        addresses = [address for _, listening in seen for address in listening]
        assert len(addresses) >= len(found.ports) - 1 and {*addresses} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert of_start(found.mark) == [] and not [pid for pid in pids if psutil.pid_exists(pid)]
    assert worlds.hashes(Lake(lake.spark, str(home / "lake"))) == worlds.hashes(lake)
    assert os.fspath(home) not in (home / "report.html").read_text(encoding="utf-8")
