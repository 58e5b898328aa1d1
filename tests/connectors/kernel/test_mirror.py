"""Files at an address become drops: from a real web server and a real SFTP server of this machine."""

import dataclasses
import functools
import http.server
import json
import os
import socket
import threading
from datetime import date

import paramiko
import pytest

from conf.settings import freeze, source
from connectors.kernel import pulls
from connectors.kernel.connector import Scope
from connectors.kernel.errors import ConnectorError, FailedStreamsError, StreamDeclarationError
from connectors.kernel.landing import Landing, landed
from connectors.kernel.mirror import checked, folder_of
from connectors.sources import file_drop

DAY = date(2026, 11, 20)
PASSWORD = "canary-pass-9f3c"


@pytest.fixture
def shop(tmp_path):
    folder = tmp_path / "shop" / "orders"
    folder.mkdir(parents=True)
    (folder / "2026-11-20.csv").write_text("order_id,total\n1,10.00\n2,20.00\n")
    (folder / "2026-11-20.csv.tmp").write_text("order_id,total\n9,")
    (folder / "notes.txt").write_text("not meant")
    return tmp_path / "shop"


@pytest.fixture
def web(shop):
    """The folder's address at a web server that lists it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(shop)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/orders"
    server.shutdown()
    server.server_close()


class Files(paramiko.SFTPServerInterface):
    """A folder over SFTP, to be read."""

    root = ""

    def _real(self, path):
        return os.path.join(self.root, path.lstrip("/"))

    def list_folder(self, path):
        real = self._real(path)
        if not os.path.isdir(real):
            return paramiko.SFTP_NO_SUCH_FILE
        return [paramiko.SFTPAttributes.from_stat(os.stat(os.path.join(real, name)), name) for name in sorted(os.listdir(real))]

    def stat(self, path):
        try:
            return paramiko.SFTPAttributes.from_stat(os.stat(self._real(path)))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    lstat = stat

    def open(self, path, flags, attr):
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = open(self._real(path), "rb")  # noqa: SIM115  # the handle closes it
        return handle


class Door(paramiko.ServerInterface):
    def check_channel_request(self, kind, number):
        return paramiko.OPEN_SUCCEEDED

    def check_auth_password(self, user, password):
        return paramiko.AUTH_SUCCESSFUL if (user, password) == ("ann", PASSWORD) else paramiko.AUTH_FAILED


@pytest.fixture
def sftp(shop, monkeypatch):
    """The folder's address at an SFTP server, and the connection that opens it."""
    key, listening = paramiko.RSAKey.generate(2048), socket.create_server(("127.0.0.1", 0))
    files = type("Shop", (Files,), {"root": str(shop)})

    def answer():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, files)
            transport.start_server(server=Door())

    threading.Thread(target=answer, daemon=True).start()
    extra = {"port": listening.getsockname()[1]}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_SFTP", json.dumps({"login": "ann", "password": PASSWORD, "extra": extra}))
    yield "sftp://127.0.0.1/orders"
    listening.close()


def shop_at(root, **more):
    streams = freeze({"orders": {"path": "{date}.csv", "root": root, **more}})
    return dataclasses.replace(source("sandbox_shop"), source="shop", streams=streams, settings=freeze({}))


def pull(home, declared):
    return pulls.pull(declared, Scope(DAY, DAY), Landing(home / "landing", "run-1"), print)["orders"]


def test_a_web_server_s_files_are_landed_once_and_a_restated_one_again(web, shop, home):
    declared = shop_at(web)
    assert (pull(home, declared).landed, pull(home, declared).landed) == (1, 0)
    (shop / "orders" / "2026-11-20.csv").write_text("order_id,total\n1,10.00\n2,25.00\n3,5.00\n")
    assert pull(home, declared).records == 3
    assert [one.manifest["attempt"] for one in landed(home / "landing", "shop", "orders")] == [1, 2]
    assert sorted(path.name for path in folder_of("shop", "orders").iterdir()) == [".mirror.json", "2026-11-20.csv"]


def test_an_sftp_server_s_files_are_landed_and_one_that_is_gone_is_no_drop_any_more(sftp, shop, home):
    declared = shop_at(sftp, secret="shop_sftp")
    assert pull(home, declared).records == 2
    assert pull(home, declared).landed == 0
    (shop / "orders" / "2026-11-20.csv").rename(shop / "orders" / "2026-11-19.csv")
    pulls.pull(declared, Scope(date(2026, 11, 19), DAY), Landing(home / "landing", "run-2"), print)
    assert sorted(path.name for path in folder_of("shop", "orders").glob("*.csv")) == ["2026-11-19.csv"]


def test_a_plan_and_a_check_keep_nothing(web, home):
    declared, before = shop_at(web), sorted(home.rglob("*"))
    assert pulls.check(declared)["orders"].said == "1 files match, the last of them is 2026-11-20.csv"
    planned = pulls.plan(declared, Scope(DAY, DAY), Landing(home / "landing", "run-1"), print)["orders"]
    assert [one.records for one in planned.slices] == [2] and sorted(home.rglob("*")) == before


def test_a_wrong_password_is_named_by_its_connection_and_never_shown(sftp, home, monkeypatch, capsys):
    held = json.loads(os.environ["AIRFLOW_CONN_SHOP_SFTP"])
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_SFTP", json.dumps({**held, "password": "canary-wrong-77aa"}))
    with pytest.raises(FailedStreamsError) as error:
        pull(home, shop_at(sftp, secret="shop_sftp"))
    assert "sftp://127.0.0.1/orders" in str(error.value) and "canary" not in str(error.value) + "".join(capsys.readouterr())


def test_a_folder_that_is_not_there_takes_no_drop_away(web, shop, home):
    declared = shop_at(web)
    pull(home, declared)
    (shop / "orders").rename(shop / "moved")
    with pytest.raises(FailedStreamsError, match="orders: is not there; look at the stream's root"):
        pull(home, declared)
    assert (folder_of("shop", "orders") / "2026-11-20.csv").is_file()


def test_a_server_that_is_away_is_tried_again_later(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(FailedStreamsError) as error:
        pull(home, shop_at(f"http://127.0.0.1:{port}/orders"))
    assert error.value.exit_code == 4 and f"http://127.0.0.1:{port}/orders" in str(error.value)


@pytest.mark.parametrize("root", ["ftp://host/folder", "http://host.example/folder", "s3://user:word@bucket/folder", "memory://x"])
def test_an_address_that_nobody_should_read_is_refused_with_those_that_may_be(root):
    with pytest.raises(StreamDeclarationError, match=r"root is .*allowed|an address begins with one of"):
        checked(root, "conf/sources/shop.yml: streams.orders")


def test_a_secret_wants_an_address(home):
    with pytest.raises(ConnectorError, match="secret is 'shop_sftp'; give the name of a connection, beside a root that is an address"):
        file_drop.declared(shop_at("drops", secret="shop_sftp"), "orders")
