"""The channel to a Spark Connect server of this machine, with its token."""

from __future__ import annotations

import grpc
from pyspark.sql.connect.client.core import DefaultChannelBuilder


class OwnMachine(DefaultChannelBuilder):
    """Spark's own builder sends a token without TLS to the name localhost alone, which may be an address that the server does not listen on."""

    def toChannel(self) -> grpc.Channel:
        token = grpc.access_token_call_credentials(self.token)
        return self._secure_channel(self.endpoint, grpc.composite_channel_credentials(grpc.local_channel_credentials(), token))
