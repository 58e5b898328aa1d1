"""Errors as sentences."""

from spark_jobs.errors import of_trouble


def test_a_file_that_cannot_be_read_is_named_with_its_table_and_what_to_do():
    spark = Exception(
        "An error occurred while calling o1.count.\n: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:/lake/silver/events/part-0.snappy.parquet. SQLSTATE"
    )
    said = str(of_trouble(spark, "journeys.sessions"))
    assert said.startswith(
        "journeys.sessions: a file that it reads is missing or damaged: /lake/silver/events/part-0.snappy.parquet. Nothing"
    )
    assert "Restore the file" in said
    assert of_trouble(ValueError("something else"), "journeys.sessions") is None
