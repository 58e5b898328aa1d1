#!/usr/bin/env bash
# deltalake 1.6.6 (delta-rs): a table created with delta.enableDeletionVectors=true requires readers to know VARIANT too.
#
# Guess held before: the property adds the one feature that it is about, deletionVectors, to the protocol, as Spark's CREATE TABLE does.
# Seen: the first commit lists variantType beside deletionVectors, among reader and writer features, in a table of one BIGINT column. A reader that
# knows deletion vectors and not VARIANT has to refuse the table, though it has no such column and no row was ever deleted. The property
# set to false leaves protocol 1/4 or lower, and the change feed alone does so too.
# Way round: create such tables without the property, or with Spark.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet deltalake==1.6.6 pyarrow==22.0.0
"$folder/env/bin/python" - "$folder" <<'PY'
import sys

import pyarrow as pa
from deltalake import DeltaTable


def features(name, properties):
    made = DeltaTable.create(f"{sys.argv[1]}/{name}", pa.schema([("id", pa.int64())]), configuration=properties)
    protocol = made.protocol()
    return protocol.min_reader_version, sorted(protocol.reader_features or ()), sorted(protocol.writer_features or ())


with_vectors = features("vectors", {"delta.enableDeletionVectors": "true"})
without = features("none", {"delta.enableDeletionVectors": "false", "delta.enableChangeDataFeed": "true"})
print("with deletion vectors:", with_vectors)
print("without:", without)
assert with_vectors[1] == ["deletionVectors", "variantType"] and "variantType" in with_vectors[2]
assert without[0] == 1 and without[1] == []
PY
echo "as described"
