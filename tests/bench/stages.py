"""Commands of the product one after another in this one process, as the running services are.

Each line of input is a command line of `spark_jobs` as a JSON list, or the home of those that follow as {"home": folder}; each is answered by a
JSON line: CPU-seconds of the process tree, Spark jobs.
"""

from __future__ import annotations

import json
import os
import sys

import psutil
from pyspark import SparkContext

from spark_jobs.__main__ import app


def cpu_seconds() -> float:
    """Of this process and its living children, the JVM and its Python workers."""
    me = psutil.Process()
    return sum(sum(p.cpu_times()[:4]) for p in (me, *me.children(recursive=True)))


def jobs_begun() -> int:
    """How many Spark jobs this process began; 0 when it has no session yet."""
    context = SparkContext._active_spark_context
    return int(context._jsc.sc().dagScheduler().numTotalJobs()) if context else 0


def main() -> None:
    # the first command's figure has the start of this process in it
    used, begun = 0.0, 0
    for line in sys.stdin:
        said = json.loads(line)
        if isinstance(said, dict):
            os.environ["THROUGHLINE_HOME"] = said["home"]
        else:
            app(said, standalone_mode=False)
        print(json.dumps({"cpu_seconds": round(cpu_seconds() - used, 1), "spark_jobs": jobs_begun() - begun}), flush=True)
        used, begun = cpu_seconds(), jobs_begun()


if __name__ == "__main__":
    main()
