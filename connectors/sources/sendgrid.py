"""SendGrid v3: what became of the mail per day, who wants no more, and the events that it sends by itself, signed (ECDSA, P-256, SHA-256)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from connectors.kernel.auth import Credentials, credentials_of
from connectors.kernel.errors import CredentialsError, UnsignedDeliveryError
from connectors.kernel.streams import Account, Stream
from connectors.kernel.webhooks import Verifier, WebhookApi

SIGNATURE, TIMESTAMP = "X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp"
# all of it: a shorter one would make its last digits part of the body, which is signed as well
SECONDS = re.compile("[0-9]{10}")
ARMOUR = re.compile(r"-----(BEGIN|END) PUBLIC KEY-----|\s")
SIGNED = ec.ECDSA(SHA256())


class SendGrid(WebhookApi):
    def headers(self, stream: Stream, account: Account) -> Mapping[str, str]:
        """An account may be a subuser, for whom its parent asks."""
        return {"on-behalf-of": str(account.values["subuser"])} if "subuser" in account.values else {}

    def verifier(self, stream: Stream, account: Account) -> Verifier:
        """By the key that SendGrid shows for the webhook, or one of several between commas: a new one beside the old."""
        keys = public_keys(credentials_of(account.secret))

        def verify(headers: Mapping[str, str], body: bytes) -> datetime:
            timestamp = headers.get(TIMESTAMP, "")
            try:
                signature = base64.b64decode(headers.get(SIGNATURE, ""), validate=True)
            except ValueError:
                signature = b""
            if SECONDS.fullmatch(timestamp) and any(is_signed(key, signature, timestamp.encode() + body) for key in keys):
                return datetime.fromtimestamp(int(timestamp), UTC)
            raise UnsignedDeliveryError(f"{stream.title} ({account.name}): a delivery that SendGrid did not sign")

        return verify


def is_signed(key: ec.EllipticCurvePublicKey, signature: bytes, content: bytes) -> bool:
    """Whether the owner of a key signed the content."""
    try:
        key.verify(signature, content, SIGNED)
    except InvalidSignature:
        return False
    return True


def public_keys(credentials: Credentials) -> list[ec.EllipticCurvePublicKey]:
    """The keys of a connection. Raises CredentialsError where one is missing, or is none of P-256."""
    found = []
    for text in credentials.need("webhook_public_key").split(","):
        try:
            key = load_der_public_key(base64.b64decode(ARMOUR.sub("", text), validate=True))
        except ValueError:
            key = None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise CredentialsError(
                f"connection {credentials.name}: its webhook_public_key is no public key of P-256; copy the verification key that SendGrid shows at "
                "Settings, Mail Settings, Event Webhook"
            )
        found.append(key)
    return found


CONNECTOR = SendGrid()
