"""`make bench-connectors`: what pulling records from an API costs, beside dlt's rest_api source and the least that can be done.

A server of its own process hands out canned pages, gzipped at level 6, to three clients that each land all records: `connectors pull` of a stream
of ours, dlt (rest_api source into files), and requests with orjson and gzip by hand. Pages of 1,000 and of 100 records. CPU-seconds are the client's.
QUICK=1: a tenth of the records.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from conf.settings import REPOSITORY
from tests.bench.measure import Usage, measure
from tests.bench.records import keep, row

RECORDS = 1_000_000
AIMS = {1000: 25_000, 100: 15_000}
DLT = "dlt==1.19.1"
PEAK_MB, OF_DLT, OF_BARE = 120, 0.5, 1.5

SERVER = """
import json, sys, gzip
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
records, size = int(sys.argv[1]), int(sys.argv[2])
one = {"id": "", "attributes": {"datetime": "2026-11-20T10:11:12+00:00", "event_properties": {"Recipient Email Address": "ann@mail.example",
       "Campaign Name": "newsletter", "URL": "https://shop.example/?utm_source=newsletter&utm_medium=email", "amount": 12.10,
       "large": 123456789012345678901}, "uuid": "00000000-0000-11f0-8001-000000000000"}, "relationships": {"metric": {"data": {"id": "MET001"}}}}
data = json.dumps([{**one, "id": f"e-{n:09d}"} for n in range(size)])
# members of a gzip file follow one another: the long one is packed once
head = gzip.compress(b'{"data":' + data.encode() + b',"links":{"next":', 6)
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        at = int(parse_qs(urlsplit(self.path).query).get("page", ["1"])[0])
        following = b"null" if at >= records // size else b'"http://127.0.0.1:%d/events?page=%d"' % (self.server.server_port, at + 1)
        body = head + gzip.compress(following + b"}}", 6)
        self.send_response(200)
        for name, value in (("Content-Type", "application/json"), ("Content-Encoding", "gzip"), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
OURS = """
import sys
from datetime import date
from pathlib import Path
from conf.settings import Source, freeze
from connectors.kernel import pulls
from connectors.kernel.connector import Scope
from connectors.kernel.landing import Landing
streams = {"events": {"mode": "range", "path": "events", "records": ["data"], "paginator": {"kind": "url", "path": ["links", "next"]}}}
settings = {"base_url": sys.argv[1], "auth": {"kind": "bearer"}, "accounts": {"main": {"secret": "bench"}}}
source = Source("bench", "klaviyo", freeze(streams), "bench", settings=freeze(settings))
day = date(2026, 11, 20)
print(pulls.pull(source, Scope(day, day), Landing(Path(sys.argv[2]), "bench"), lambda _: None)["events"].records)
"""
BARE = """
import gzip, sys
import orjson, requests
session, url, landed = requests.Session(), sys.argv[1] + "/events", 0
with gzip.open(sys.argv[2] + "/part.jsonl.gz", "wb", compresslevel=3) as out:
    while url:
        page = orjson.loads(session.get(url).content)
        for record in page["data"]:
            out.write(orjson.dumps(record) + b"\\n")
        landed += len(page["data"])
        url = page["links"]["next"]
print(landed)
"""
WITH_DLT = """
import os, sys
os.chdir(sys.argv[2])
import dlt
from dlt.sources.rest_api import rest_api_source
source = rest_api_source({
    "client": {"base_url": sys.argv[1], "paginator": {"type": "json_link", "next_url_path": "links.next"}},
    "resources": [{"name": "events", "max_table_nesting": 0, "endpoint": {"path": "events", "data_selector": "data"}}],
})
pipeline = dlt.pipeline("bench", destination=dlt.destinations.filesystem(sys.argv[2] + "/out"), dataset_name="bench", pipelines_dir=sys.argv[2] + "/work")
pipeline.run(source, loader_file_format="jsonl")
print(pipeline.last_trace.last_normalize_info.row_counts["events"])
"""


def dlt_python(folder: Path) -> str:
    """A Python that has dlt, in an environment of its own."""
    home = folder / "dlt"
    subprocess.run([sys.executable, "-m", "uv", "venv", "-q", "--python", sys.executable, str(home)], check=True)
    subprocess.run([sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(home / "bin" / "python"), DLT], check=True)
    return str(home / "bin" / "python")


def client(python: str, code: str, folder: Path, records: int, size: int) -> Usage:
    """What a client uses that lands all records of a server of its own. Raises AssertionError where it landed another number."""
    folder.mkdir()
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(records), str(size)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        env = {"THROUGHLINE_HOME": str(folder), "PYTHONPATH": str(REPOSITORY), "AIRFLOW_CONN_BENCH": '{"password": "bench-secret"}'}
        used = measure([python, "-c", code, f"http://127.0.0.1:{port}", str(folder)], env, REPOSITORY)
    finally:
        server.kill()
        server.wait()
    assert int(used.output.split()[-1]) == records, used.output[-2000:]
    return used


def rows(folder: Path, records: int) -> list[dict[str, Any]]:
    """The rows of the record: ours beside each peer, for each size of a page."""
    found, python = [], dlt_python(folder)
    for size, aim in AIMS.items():
        ours = client(sys.executable, OURS, folder / f"ours-{size}", records, size)
        for peer, program, code, at_most in (
            ("dlt", python, WITH_DLT, OF_DLT),
            ("requests + orjson + gzip", sys.executable, BARE, OF_BARE),
        ):
            theirs = client(program, code, folder / f"{peer.split()[0]}-{size}", records, size)
            line = row(f"pages of {size}", records, ours)
            more = {
                "peer_peak_mb": round(theirs.peak_mb),
                "records_per_second": round(records / ours.wall_seconds),
                "at_least_per_second": aim,
            }
            found.append({**line, "peer": peer, "peer_cpu_seconds": round(theirs.cpu_seconds, 1), "ratio": round(ours.cpu_seconds / theirs.cpu_seconds, 2),
                          "at_most": at_most, "peak_mb_at_most": PEAK_MB, **more})  # fmt: skip
            print(json.dumps(found[-1]), flush=True)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        keep("connectors", rows(Path(folder), RECORDS // 10 if os.environ.get("QUICK") else RECORDS), ("requests", "orjson", "msgspec"))


if __name__ == "__main__":
    main()
