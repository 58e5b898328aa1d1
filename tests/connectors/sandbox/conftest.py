"""One untidy world with its files and its truth, made once and only read."""

from dataclasses import replace
from datetime import date

import pytest

from connectors.sandbox import files, truth, world
from connectors.sandbox.mess import FAULTS, MESS

UNTIL = date(2026, 11, 20)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """(folder, world) with files and truth; more goes wrong than usual, so that everything does."""
    folder = tmp_path_factory.mktemp("world")
    often = dict.fromkeys((fault.name for fault in FAULTS[1:]), 0.008) | {"recycled_email": 0.03, "lines_again": 0.05}
    one = world.make_world(people=400, days=21, until=UNTIL, seed=7, mess=replace(MESS, **often))
    files.write_world(one, folder)
    truth.write_truth(one, folder)
    return folder, one
