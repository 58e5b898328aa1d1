"""Components are a function of the set of edges."""

import numpy as np
import pyarrow as pa

from spark_jobs.identity.components import components, label_components


def labels(edges):
    batches = [pa.RecordBatch.from_pylist([{"a": a, "b": b} for a, b in part]) for part in edges if part]
    return {r["identifier_key"]: r["component"] for out in label_components(iter(batches)) for r in out.to_pylist()}


def test_two_chains_are_two_components_named_by_their_smallest_key():
    assert labels([[("b", "c"), ("x", "y")], [("a", "b")]]) == {"a": "a", "b": "a", "c": "a", "x": "x", "y": "x"}


def test_no_edges_are_no_components():
    assert labels([]) == {}


def test_order_batches_and_repetition_change_nothing():
    edges = [("a", "d"), ("c", "d"), ("b", "e"), ("e", "f"), ("a", "c")]
    assert labels([edges]) == labels([edges[::-1], edges[:2]]) == {"a": "a", "c": "a", "d": "a", "b": "b", "e": "b", "f": "b"}


def flooded(edges):
    """The smallest key that each node reaches, by spreading it until nothing changes."""
    smallest = {node: node for edge in edges for node in edge}
    before = None
    while smallest != before:
        before = dict(smallest)
        for a, b in edges:
            smallest[a] = smallest[b] = min(smallest[a], smallest[b])
    return smallest


def test_a_random_graph_has_the_components_that_flooding_finds():
    rng = np.random.default_rng(7)
    edges = [(f"n{a:03}", f"n{b:03}") for a, b in rng.integers(0, 300, (200, 2)) if a != b]
    assert labels([edges[:50], edges[50:]]) == flooded(edges)


def test_it_runs_as_one_task_over_many_partitions(spark):
    edges = spark.createDataFrame([("a", "b"), ("b", "c"), ("x", "y")], "a STRING, b STRING").repartition(3)
    assert {tuple(r) for r in components(edges).collect()} == {("a", "a"), ("b", "a"), ("c", "a"), ("x", "x"), ("y", "x")}
