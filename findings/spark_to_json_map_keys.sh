#!/usr/bin/env bash
# Spark 4.2.0, to_json of a MAP: a key that is no text is written as Spark stores it, not as it reads.
# Guess before: the key in the form its value would have ("2026-01-01"), or an error, since JSON knows text keys alone.
# Seen: a DATE key becomes its day number ("20454"), a TIMESTAMP key its microseconds, while the same date beside it is written as a date. Nothing
# warns; from_json refuses such keys by name (INVALID_JSON_MAP_KEY_TYPE), so it cannot be read back either.
# It hurts who keeps rows as JSON (landing, change logs): rates per day, opening hours and the like are Parquet maps by date.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'pyspark==4.2.0'
cat > "$folder/try.py" <<'PY'
import json, sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.sql.session.timeZone", "UTC").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
rates = "map(date'2026-01-01', 'first')"
row = spark.sql(
    f"select to_json(named_struct('m', {rates}, 'd', date'2026-01-01')) as by_day, "
    "to_json(named_struct('m', map(timestamp'2026-01-01 00:00:00', 1))) as by_instant"
).first()
seen = {"by_day": row.by_day, "by_instant": row.by_instant}
try:
    spark.sql("""select from_json('{}', 'm MAP<DATE, STRING>')""").collect()
    seen["back"] = "read"
except Exception as error:
    seen["back"] = error.getCondition()
print(json.dumps(seen))
expected = {
    "by_day": '{"m":{"20454":"first"},"d":"2026-01-01"}',
    "by_instant": '{"m":{"1767225600000000":1}}',
    "back": "DATATYPE_MISMATCH.INVALID_JSON_MAP_KEY_TYPE",
}
sys.exit(any(seen[name] != text for name, text in expected.items()))
PY
"$folder/venv/bin/python" "$folder/try.py" 2>/dev/null
