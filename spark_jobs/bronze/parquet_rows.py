"""Rows of Parquet files as JSON, read by Arrow: of files that Spark's reader refuses, or whose nested values its JSON writes in another form.

The JSON is Spark's, as load.read_parquet asks for it: instants as yyyy-MM-ddTHH:mm:ss.SSSSSS (of nanoseconds the microseconds), binary as
base64, decimals with all their digits, nulls kept.
"""

from __future__ import annotations

import base64
import math
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import types as T

SCHEMA = "_file STRING, _row BIGINT, payload STRING"
# What is held in memory of a file
BATCH_ROWS = 4096
# Compressions that Spark reads without libraries of others, and encodings and types that its reader does not know
SPARK_CODECS = {"UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "LZ4"}
CODECS = SPARK_CODECS | {"BROTLI"}
NOT_SPARK_ENCODINGS = {"BYTE_STREAM_SPLIT"}
NOT_SPARK_TYPES = {"TIME", "FLOAT16", "UUID"}
MAX_PRECISION = 38
# Numbers of fewer than 64 bits, which fewer digits tell apart
SHORT_FLOATS = {pa.float16(): np.float16, pa.float32(): np.float32}
PER_MICROSECOND = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
# Below it, a whole number in a column of fractions is written as the whole number that it is: an id, where one row has none
SMALLEST_PLAIN, LARGEST_PLAIN = 1e-5, 1e16


def is_for_spark(footer: pq.FileMetaData) -> bool:
    """Whether Spark's reader knows the types of a file's columns, and how they are compressed and encoded. To ask it would fill the log with
    the stack traces of its refusal."""
    for place in range(footer.num_columns):
        column = footer.schema.column(place)
        kind = column.logical_type
        is_nano = kind.type == "TIMESTAMP" and "nanoseconds" in kind.to_json()
        if is_nano or kind.type in NOT_SPARK_TYPES or (kind.type == "DECIMAL" and column.precision > MAX_PRECISION):
            return False
    chunks = (footer.row_group(g).column(c) for g in range(footer.num_row_groups) for c in range(footer.num_columns))
    return all(chunk.compression in SPARK_CODECS and NOT_SPARK_ENCODINGS.isdisjoint(chunk.encodings) for chunk in chunks)


def is_plain_json(kind: T.DataType, nested: bool = False) -> bool:
    """Whether Spark's to_json writes a value of the type as it is meant: not a number within another value (1.2E7), not a map's key that is
    neither text nor a whole number."""
    if isinstance(kind, T.StructType):
        return all(is_plain_json(field.dataType, True) for field in kind.fields)
    if isinstance(kind, T.ArrayType):
        return is_plain_json(kind.elementType, True)
    if isinstance(kind, T.MapType):
        return isinstance(kind.keyType, T.StringType | T.IntegralType) and is_plain_json(kind.valueType, True)
    return not (nested and isinstance(kind, T.FractionalType) and not isinstance(kind, T.DecimalType))


def refusal(path: str) -> str | None:
    """Why no records can be made of a Parquet file's rows, and what to do; None where they can."""
    again = "and deliver the file again"
    try:
        with pq.ParquetFile(path) as file:
            schema, footer = file.schema_arrow, file.metadata
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"{path}: its schema cannot be read ({error}); write its columns with other types {again}"
    if twice := repeated_name(schema):
        return f"{path}: two columns are called {twice!r}; rename one {again}"
    for group in range(footer.num_row_groups):
        for place in range(footer.num_columns):
            chunk = footer.row_group(group).column(place)
            if chunk.compression not in CODECS:
                return f"{path}: column {chunk.path_in_schema!r} is compressed with {chunk.compression}; use zstd or snappy {again}"
    return None


def repeated_name(fields: pa.Schema | pa.StructType) -> str | None:
    """The name of a column, or of a field within one, that stands twice beside itself."""
    names = Counter(field.name for field in fields)
    found = next((name for name, times in names.items() if times > 1), None)
    for field in fields:
        kind = field.type
        while pa.types.is_nested(kind) and not pa.types.is_struct(kind):
            kind = kind.item_type if pa.types.is_map(kind) else kind.value_type
        if found is None and pa.types.is_struct(kind):
            found = repeated_name(kind)
    return found


def read_rows(paths: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """SCHEMA: every row of the files whose paths come in as `path`; row 1 is a file's first."""
    for batch in paths:
        for path in batch.column("path").to_pylist():
            first = 1
            # an INT96 as nanoseconds would end in 2262
            with pq.ParquetFile(path, coerce_int96_timestamp_unit="us", pre_buffer=False) as file:
                for rows in file.iter_batches(BATCH_ROWS, use_threads=False):
                    numbers = pa.array(range(first, first + rows.num_rows), pa.int64())
                    columns = [pa.array([path] * rows.num_rows, pa.string()), numbers, pa.array(payloads(rows), pa.string())]
                    yield pa.RecordBatch.from_arrays(columns, names=["_file", "_row", "payload"])
                    first += rows.num_rows


def payloads(rows: pa.RecordBatch) -> list[str | None]:
    """Each row as a JSON object; where there is a text column `payload`, that is the record as received."""
    names = rows.schema.names
    if "payload" in names:
        received = rows.column("payload")
        kind = received.type.value_type if pa.types.is_dictionary(received.type) else received.type
        if is_text(kind):
            return plain_values(received)
    columns = [plain_values(column) for column in rows.columns]
    return [orjson.dumps(dict(zip(names, row))).decode() for row in zip(*columns)]


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def plain_values(array: pa.Array) -> list[Any]:
    """An array's values as orjson writes them."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        is_uuid = kind.extension_name == "arrow.uuid"
        return [v and str(uuid.UUID(bytes=v)) for v in array.storage.to_pylist()] if is_uuid else plain_values(array.storage)
    if pa.types.is_dictionary(kind):
        return plain_values(array.dictionary_decode())
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        rows = zip(*(plain_values(column) for column in array.flatten()))
        return [dict(zip(names, row)) if is_there else None for row, is_there in zip(rows, array.is_valid().to_pylist())]
    if pa.types.is_map(kind):
        return map_values(array)
    if pa.types.is_nested(kind):
        items = iter(plain_values(pc.list_flatten(array)))
        return [None if n is None else [next(items) for _ in range(n)] for n in pc.list_value_length(array).to_pylist()]
    if pa.types.is_floating(kind):
        return float_values(array)
    if pa.types.is_decimal(kind):
        return [None if v is None else orjson.Fragment(format(v, "f")) for v in array.to_pylist()]
    if pa.types.is_timestamp(kind):
        return time_texts(array.cast(pa.int64()), kind.unit)
    if pa.types.is_time(kind):
        counts = array.cast(pa.int32() if pa.types.is_time32(kind) else pa.int64()).cast(pa.int64())
        return [v and v[11:] for v in time_texts(counts, kind.unit)]
    if pa.types.is_date(kind):
        days = array.cast(pa.date32()).cast(pa.int32())
        return masked(np.datetime_as_string(days.fill_null(0).to_numpy().astype("datetime64[D]")), days)
    if pa.types.is_duration(kind):
        return array.cast(pa.int64()).to_pylist()
    if is_text(kind):
        return text_values(array)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind):
        return [None if v is None else base64.b64encode(v).decode() for v in array.to_pylist()]
    return array.to_pylist()


def map_values(array: pa.MapArray) -> list[dict[str, Any] | None]:
    """A map's entries as an object; a key that is no text is its JSON."""
    offsets = array.offsets.to_pylist()
    begin, length = offsets[0], offsets[-1] - offsets[0]
    keys, items = (plain_values(part.slice(begin, length)) for part in (array.keys, array.items))
    names = [key if isinstance(key, str) else orjson.dumps(key).decode() for key in keys]
    spans = zip(offsets, offsets[1:], array.is_valid().to_pylist())
    return [dict(zip(names[a - begin : b - begin], items[a - begin : b - begin])) if is_there else None for a, b, is_there in spans]


def float_values(array: pa.Array) -> list[Any]:
    """Numbers with the fewest digits that make them, a whole one below LARGEST_PLAIN without a point; what is no number by its name."""
    values = array.cast(pa.float64()).to_pylist()
    if short := SHORT_FLOATS.get(array.type):
        values = [v if v is None or is_whole(v) else float(str(short(v))) for v in values]
    return [v if v is None else number_value(v) for v in values]


def is_whole(number: float) -> bool:
    return number.is_integer() and abs(number) < LARGEST_PLAIN


def number_value(number: float) -> float | str | orjson.Fragment:
    """A number as Spark writes it too: without an exponent where it is of everyday size, else with Java's."""
    if math.isfinite(number):
        if is_whole(number) or "e" not in (text := repr(number)):
            return int(number) if is_whole(number) else number
        if SMALLEST_PLAIN <= abs(number) < LARGEST_PLAIN:
            return orjson.Fragment(format(Decimal(text), "f"))
        digits, _, exponent = text.partition("e")
        return orjson.Fragment(f"{digits if '.' in digits else f'{digits}.0'}E{int(exponent)}")
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def time_texts(counts: pa.Array, unit: str) -> list[str | None]:
    """Instants, as counts of a unit since 1970, to the microsecond; what is finer is cut."""
    times, parts = PER_MICROSECOND[unit]
    micros = counts.fill_null(0).to_numpy() * times // parts
    return masked(np.datetime_as_string(micros.astype("datetime64[us]")), counts)


def masked(texts: np.ndarray[Any, Any], array: pa.Array) -> list[str | None]:
    """The texts as a list, None where the array is null."""
    found: Sequence[str] = texts.tolist()
    return [text if is_there else None for text, is_there in zip(found, array.is_valid().to_pylist())]


def text_values(array: pa.Array) -> list[str | None]:
    """Texts; bytes that are no UTF-8 as the replacement character, as Spark's reader shows them."""
    try:
        return array.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        return [None if v is None else v.decode("utf-8", "replace") for v in array.cast(pa.large_binary()).to_pylist()]
