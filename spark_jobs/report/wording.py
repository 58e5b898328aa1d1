"""How the report says numbers, models and reasons to people who do not build pipelines."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from markupsafe import Markup, escape

from conf.names import UNATTRIBUTED

# the channel of what nobody earned, and the series of what has no colour of its own
OTHER = "Other"
SYMBOLS = {"GBP": "£", "EUR": "€", "USD": "$"}

MODELS = {
    "first": ("First touch", "All credit to the first contact: who opened the door."),
    "last": ("Last touch", "All credit to the last contact before the order, direct visits included."),
    "last_non_direct": ("Last non-direct", "All credit to the last contact that was not a direct visit."),
    "linear": ("Linear", "Every contact on the way earns the same share."),
    "position": ("Position", "The first and the last contact earn most; those between share the rest."),
    "time_decay": ("Time decay", "The closer a contact is to the order, the more it earns."),
}
PREFERRED_MODEL = "linear"

REASONS = {
    "no_identity": "Nobody is known: the order names no person",
    "negative_value": "Negative value that is not a refund",
    "no_touch": "A known person without any marketing contact on record",
    "after_conversion": "Every contact came after the order",
    "no_touch_in_window": "Contacts exist, but all are older than the look-back",
    "reset_by_policy": "Every contact had already earned an earlier order",
    "excluded_channel": "Every contact came through an excluded channel",
    "no_rate": "No exchange rate is known for its currency",
    "bot": "A machine's, not a person's",
    "no_consent": "The person gave no consent to be measured",
    "superseded_by_click": "Views whose click already earned the credit",
    "removed_by_transform": "Contacts removed by the model's path rules",
    "refund_without_conversion": "Refunds whose order is unknown",
    "refund_exceeds_value": "Refunds beyond the order's value",
}


def words(identifier: str) -> str:
    """snake_case as a phrase: at_risk -> At risk."""
    text = identifier.replace("_", " ").replace(".", " ").strip()
    return text[:1].upper() + text[1:]


def breakable(identifier: str) -> Markup:
    """An identifier that a narrow column breaks between its words only."""
    return escape(identifier).replace("_", Markup("_<wbr>"))


def segment_name(segment: str) -> str:
    """lifecycle_at_risk -> Lifecycle: at risk; big_spenders -> Big spenders."""
    for family, said in (("lifecycle_", "Lifecycle"), ("rfm_", "RFM")):
        if segment.startswith(family):
            return f"{said}: {segment.removeprefix(family).replace('_', ' ')}"
    return words(segment)


def channel_name(channel: str) -> str:
    return "Not attributed" if channel == UNATTRIBUTED else channel


def model_name(model: str) -> str:
    return MODELS.get(model, (words(model), ""))[0]


def model_note(model: str) -> str:
    return MODELS.get(model, ("", ""))[1]


def reason_text(reason: str) -> str:
    return REASONS.get(reason, words(reason))


def whole(value: object) -> str:
    """12345 -> 12,345; None -> an en dash; fractions of conversions to one decimal below 100."""
    if value is None:
        return "–"
    number = float(value)  # type: ignore[arg-type]
    return f"{number:,.0f}" if number == int(number) or abs(number) >= 100 else f"{number:,.1f}"


def money(value: object, currency: str) -> str:
    """An amount without pence from 100 up, with its currency's sign; None -> an en dash."""
    if value is None:
        return "–"
    amount = Decimal(str(value))
    digits = f"{abs(amount):,.0f}" if abs(amount) >= 100 or amount == 0 else f"{abs(amount):,.2f}"
    sign = "−" if amount < 0 else ""
    return f"{sign}{SYMBOLS[currency]}{digits}" if currency in SYMBOLS else f"{sign}{digits} {currency}".rstrip()


def short_money(value: float, currency: str) -> str:
    """For axes and tiles: £1.2m, £45k, £310."""
    amount = abs(float(value))
    text = f"{amount / 1e6:,.2f}m" if amount >= 1e6 else f"{amount / 1e3:,.0f}k" if amount >= 1e5 else f"{amount:,.0f}"
    sign = "−" if value < 0 else ""
    return f"{sign}{SYMBOLS[currency]}{text}" if currency in SYMBOLS else f"{sign}{text} {currency}".rstrip()


def share(part: object, total: object) -> str:
    """A percentage, with a decimal below 10; an en dash when there is no total."""
    if part is None or not total:
        return "–"
    percent = 100 * float(part) / float(total)  # type: ignore[arg-type]
    return f"{percent:.0f}%" if abs(percent) >= 10 or percent == 0 else f"{percent:.1f}%"


def ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}×" if value < 100 else f"{value:,.0f}×"


def day(value: dt.date | None) -> str:
    return "–" if value is None else f"{value.day} {value:%b %Y}"


def instant(value: dt.datetime | None) -> str:
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M}"


def hours(value: float | None) -> str:
    """An age: 12 min, 5 h, 3 days."""
    if value is None:
        return "–"
    return f"{value * 60:.0f} min" if value < 1 else f"{value:.0f} h" if value < 48 else f"{value / 24:.0f} days"


def ago(value: float | None) -> str:
    """When something was, by its age in hours: 5 h ago. What seems still to come was dated by another clock than the one that is now."""
    if value is None:
        return "–"
    return f"{hours(max(value, 0))} ago" if value > -1 / 60 else f"{hours(-value)} ahead of this clock"


def plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def join_words(items: list[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""
