"""The page's colours, told once. The style sheet names what is of a kind by its variable (page.css: var(--accent))."""

from __future__ import annotations

from collections.abc import Iterable

from conf.names import UNATTRIBUTED
from spark_jobs.report.wording import OTHER

BLUE, AMBER, GREEN, ROSE, VIOLET, OLIVE, SKY = "#2b5c8a", "#e0913a", "#3f9b86", "#b8506a", "#7f74b5", "#b9a52f", "#5fa8d3"
# seven hues that stay apart for colour-blind readers and in grey print; what is left over and what is unknown are greys
HUES = (BLUE, AMBER, GREEN, ROSE, VIOLET, OLIVE, SKY)
REST_COLOUR, UNKNOWN_COLOUR = "#9aa5b1", "#c9ced6"
VARIABLES = {
    "ink": "#1d2733", "soft": "#5b6673", "faint": "#8a94a0", "line": "#e4e2dc", "paper": "#faf9f6", "card": "#fff", "accent": BLUE,
    "good": "#2e7d5b", "warn": "#a86412", "bad": "#b0343c",
}  # fmt: skip


def style_variables() -> str:
    """The colours as the style sheet's variables."""
    return " ".join(f"--{name}:{colour};" for name, colour in VARIABLES.items())


def tint(colour: str, alpha: float) -> str:
    """A #rrggbb let through to `alpha` (0 to 1), as CSS."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def colours_of(credited: Iterable[str], visited: Iterable[str]) -> dict[str, str]:
    """One colour per channel for the whole page: hues by rank of credit; those left over go to the channels with most visits and none yet."""
    named = [channel for channel in credited if channel != UNATTRIBUTED]
    colours = dict.fromkeys(named, REST_COLOUR) | dict(zip(named, HUES)) | {UNATTRIBUTED: UNKNOWN_COLOUR, OTHER: REST_COLOUR}
    plain = [channel for channel in visited if colours.get(channel, REST_COLOUR) == REST_COLOUR]
    return colours | dict(zip(plain, (hue for hue in HUES if hue not in colours.values())))
