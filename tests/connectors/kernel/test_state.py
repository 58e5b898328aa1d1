"""A stream's state: moved only by who holds its lease, whole after a kill, and untouched by a pull of named days."""

from __future__ import annotations

import os
import signal
from datetime import date

import pytest

from connectors.kernel import state as module
from connectors.kernel.errors import ConnectorError, StreamBusyError
from connectors.kernel.state import Key, leased, peek, reset

KEY = Key("shop", "main", "orders")
DAYS = (date(2026, 11, 1), date(2026, 11, 3))


def test_a_cursor_moves_and_stays(tmp_path):
    assert peek(KEY, tmp_path) == {}
    with leased(KEY, tmp_path) as state:
        assert (state.cursor, state.done) == (None, frozenset())
        state.finish("b")
        state.finish("a")
        assert state.done == {"a", "b"}
    with leased(KEY, tmp_path) as state:
        assert state.done == {"a", "b"}
        state.move("2026-11-20T00:00:00Z")
        assert state.done == frozenset()
    assert peek(KEY, tmp_path) == {"cursor": "2026-11-20T00:00:00Z", "done": []}


def test_named_days_have_a_state_of_their_own_and_never_move_the_cursor(tmp_path):
    with leased(KEY, tmp_path) as state:
        state.move(7)
    with leased(Key("shop", "main", "orders", DAYS), tmp_path) as state:
        assert state.cursor is None
        state.finish("2026-11-01")
        state.move(99)
    assert peek(KEY, tmp_path)["cursor"] == 7


@pytest.mark.parametrize("other", [Key("shop", "main", "refunds"), Key("shop", "second", "orders"), Key("shop2", "main", "orders")])
def test_each_account_and_stream_has_its_own(tmp_path, other):
    with leased(KEY, tmp_path) as state, leased(other, tmp_path) as second:
        state.move(1)
        second.move(2)
    assert (peek(KEY, tmp_path)["cursor"], peek(other, tmp_path)["cursor"]) == (1, 2)


@pytest.mark.parametrize("days", [None, DAYS])
def test_a_stream_has_one_pull_at_a_time_whatever_its_days_and_a_kill_frees_it(tmp_path, days):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with leased(KEY, tmp_path):
            os.write(writer, b"x")
            signal.pause()
    os.read(reader, 1)
    with (
        pytest.raises(StreamBusyError, match=r"shop\.orders \(main\): another pull of this stream is under way") as error,
        leased(Key("shop", "main", "orders", days), tmp_path),
    ):
        pass
    assert error.value.exit_code == 4
    with pytest.raises(StreamBusyError):
        reset(KEY, tmp_path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with leased(Key("shop", "main", "orders", days), tmp_path) as state:
        state.move(1)


def test_a_kill_while_it_is_written_leaves_what_was_there(tmp_path):
    with leased(KEY, tmp_path) as state:
        state.move("before")
    child = os.fork()
    if not child:
        module.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        with leased(KEY, tmp_path) as state:
            state.move("after")
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert peek(KEY, tmp_path)["cursor"] == "before"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cursor": 1, "done": 2}'])
def test_a_file_that_is_no_state_is_named_and_not_taken_for_none(tmp_path, content):
    with leased(KEY, tmp_path) as state:
        state.move(1)
    (tmp_path / "shop/main/orders.json").write_text(content)
    with pytest.raises(ConnectorError, match=r"shop/main/orders\.json: is no state of a stream; move it away"), leased(KEY, tmp_path):
        pass


def test_a_reset_begins_anew(tmp_path):
    assert reset(KEY, tmp_path) is False
    with leased(KEY, tmp_path) as state:
        state.move(1)
    assert reset(KEY, tmp_path) is True and peek(KEY, tmp_path) == {}


def test_it_lies_in_the_home_which_a_look_does_not_make(home):
    root = home / "fresh"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THROUGHLINE_HOME", str(root))
        assert peek(KEY) == {} and not root.exists()
        with leased(KEY) as state:
            state.move(1)
        assert (root / "state/cursors/shop/main/orders.json").is_file() and (root / "state").stat().st_mode & 0o077 == 0
