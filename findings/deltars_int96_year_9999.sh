#!/usr/bin/env bash
# PySpark 4.2.0 writes, deltalake 1.6.6 (delta-rs) reads: an instant of the year 9999 comes back as one of 1816, without an error.
# Guess before: the same instant, or an error; delta-rs types the column as microseconds, which hold the year 9999 with ease.
# Seen: Spark's default for TIMESTAMP in Parquet is INT96. QueryBuilder reads it through nanoseconds, which end in 2262, and wraps around, beside a
# neighbouring column of 2026 that is right. "Valid until 9999-12-31" is how many systems write "still valid": such rows become long expired.
# Way round: spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS where the tables are written.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'pyspark==4.2.0' 'deltalake==1.6.6' 'pyarrow==22.0.0'
cat > "$folder/try.py" <<'PY'
import sys

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder, convert_to_deltalake
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.sql.session.timeZone", "UTC").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
row = spark.sql("select timestamp'2026-01-01 00:00:00' as valid_from, timestamp'9999-12-31 00:00:00' as valid_to")
seen = {}
for kind in ("INT96", "TIMESTAMP_MICROS"):
    spark.conf.set("spark.sql.parquet.outputTimestampType", kind)
    path = f"{sys.argv[1]}/{kind}"
    row.coalesce(1).write.parquet(path)
    convert_to_deltalake(path)
    found = pa.table(QueryBuilder().register("t", DeltaTable(path)).execute("select * from t").read_all())
    seen[kind] = [str(found[name][0].cast(pa.timestamp("us")).as_py().year) for name in ("valid_from", "valid_to")]
print(seen)
sys.exit(seen != {"INT96": ["2026", "1816"], "TIMESTAMP_MICROS": ["2026", "9999"]})
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder" 2>/dev/null
