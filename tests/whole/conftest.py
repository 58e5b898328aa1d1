"""One small lake, built once and only read by the tests that share it."""

import pytest

from tests.whole import worlds


@pytest.fixture(scope="session")
def built(spark, tmp_path_factory):
    """(lake, home) from drop files to gold."""
    home = tmp_path_factory.mktemp("built")
    return worlds.build(spark, home), home
