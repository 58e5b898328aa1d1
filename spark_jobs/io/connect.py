"""Channels to a Spark Connect server, with its token and without TLS: on this machine, or on a network that nobody else is on."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from pyspark.sql.connect.client.core import DefaultChannelBuilder


class OwnMachine(DefaultChannelBuilder):
    """Spark's own builder sends a token without TLS to the name localhost alone, which may be an address that the server does not listen on."""

    def toChannel(self) -> grpc.Channel:
        token = grpc.access_token_call_credentials(self.token)
        return self._secure_channel(self.endpoint, grpc.composite_channel_credentials(grpc.local_channel_credentials(), token))


class OwnNetwork(DefaultChannelBuilder):
    """To the host that THROUGHLINE_PRIVATE_HOST names, as docker/compose.yml does: gRPC itself gives a token to no unencrypted channel."""

    def toChannel(self) -> grpc.Channel:
        return self._insecure_channel(self.endpoint)

    def metadata(self) -> Iterable[tuple[str, str]]:
        return [*super().metadata(), ("authorization", f"Bearer {self.token}")]
