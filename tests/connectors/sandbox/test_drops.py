"""Lines for the files of days."""

import numpy as np
import pyarrow as pa
import pytest

from connectors.sandbox.drops import of_parts

PARTS = (pa.array(["a0", "a1", "a2"]), pa.array([], pa.string()), pa.array(["b0"]), pa.array(["c0", "c1"]))


@pytest.mark.parametrize("places", [[5, 0, 3, 1, 4, 2], [4], [2, 2, 0], []])
def test_lines_of_parts_are_those_of_the_parts_together_in_the_order_asked_for(places):
    wanted = np.asarray(places, dtype=np.int64)
    assert of_parts(PARTS)(wanted).to_pylist() == pa.concat_arrays(PARTS).take(pa.array(wanted)).to_pylist()
