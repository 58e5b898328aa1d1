#!/usr/bin/env bash
# Spark 4.2.0, try_to_binary and try_add: whether a row whose ARGUMENT fails gives null or ends the query depends on the other columns of the select.
# Guess before: an argument's own failure always raises (try_… forgives its own work only), or is always null; never one or the other.
# Seen: alone, `try_to_binary(cast(cast(a as int) as string), 'utf-8')` is null where the inner cast fails. With a second such column that shares
# `cast(a as int)` the same query raises CAST_INVALID_INPUT: what two columns share is computed before both, outside of what forgives. The same with
# try_add of an interval. try_make_timestamp, of the same family, raises for its argument alone already.
# It hurts who adds a second column to a tolerant select, and sees rows that passed for months end the job. A condition around the
# whole argument keeps what they share inside: if(length(a) >= 0, …, null).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'pyspark==4.2.0'
cat > "$folder/try.py" <<'PY'
import json, sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("OFF")
spark.createDataFrame([("1",), ("x",)], "a string").repartition(1).createOrReplaceTempView("t")


def ask(*columns):
    try:
        return [[value is None for value in row] for row in spark.sql(f"select {', '.join(columns)} from t order by a").collect()]
    except Exception as error:
        return error.getCondition()


number = "cast(a as int)"
binary, other = f"try_to_binary(cast({number} as string), 'utf-8')", f"try_to_binary(concat('b', {number}), 'utf-8')"
interval = f"try_add(interval '1' second, make_dt_interval(0, 0, 0, {number}))"
guarded = [f"try_to_binary(if(length(a) >= 0, {one}, null), 'utf-8')" for one in (f"cast({number} as string)", f"concat('b', {number})")]
seen = {
    "alone": ask(binary),
    "interval alone": ask(interval),
    "two that share": ask(binary, other),
    "under a condition": ask(*guarded),
    "make_timestamp alone": ask(f"try_make_timestamp(2020, {number}, 1, 0, 0, 0)"),
}
print(json.dumps(seen))
expected = {
    "alone": [[False], [True]],
    "interval alone": [[False], [True]],
    "two that share": "CAST_INVALID_INPUT",
    "under a condition": [[False, False], [True, True]],
    "make_timestamp alone": "CAST_INVALID_INPUT",
}
sys.exit(seen != expected)
PY
"$folder/venv/bin/python" "$folder/try.py" 2>/dev/null
