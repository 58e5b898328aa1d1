"""Every module below connectors/sources is a connector, and is found in one place."""

from __future__ import annotations

import inspect

import pytest

from conf.settings import Source, connectors
from connectors.kernel.connector import Connector, connector_of
from connectors.kernel.errors import ConnectorError, CredentialsError, FailedStreamsError, RateLimitedError, TemporaryError

ASKED = [name for name, one in vars(Connector).items() if inspect.isfunction(one) and not name.startswith("_")]


@pytest.mark.parametrize("name", connectors())
def test_a_connector_has_what_the_protocol_asks_with_the_same_arguments(name):
    found = connector_of(Source("shop", name, {}, "shop"))
    assert len(ASKED) == 4
    for one in ASKED:
        asked = [parameter for parameter in inspect.signature(getattr(Connector, one)).parameters if parameter != "self"]
        assert list(inspect.signature(getattr(found, one)).parameters) == asked, one


def test_a_connector_that_is_none_is_named_with_those_there_are():
    with pytest.raises(ConnectorError, match=r"conf/sources/shop\.yml: connector is 'os\.path'; allowed are \['file_drop', '"):
        connector_of(Source("shop", "os.path", {}, "shop"))


def test_what_failed_is_tried_again_when_any_of_it_may_pass():
    refused, limited, away = CredentialsError("no key"), RateLimitedError("too many", 30.0), TemporaryError("gone")
    assert FailedStreamsError({"a.x": [refused]}, {}).exit_code == 2
    mixed = FailedStreamsError({"a.x": [refused], "a.y": [limited, away]}, {})
    assert (mixed.exit_code, mixed.retry_after) == (4, 30.0)
    assert FailedStreamsError({"a.y": [away]}, {}).retry_after is None


def test_what_several_streams_lack_is_said_once_and_harmlessly():
    errors = {f"a.{name}": [ConnectorError("no \x1b[31mkey")] for name in "xyz"}
    assert str(FailedStreamsError(errors, {})) == "no \\x1b[31mkey"
