"""The page's sections.

A section is two files and a line below. sections/<name>.py says TABLES, the tables that it queries besides those of facts.py, and
`view(facts)`: from their rows to what its template shows. sections/<name>.html.j2 is its <section id="<name>">; besides the view's values it
knows the facts' (currency, models, colours …), `say` (wording.py) and `palette`.
"""

from __future__ import annotations

import importlib
from types import ModuleType

# in the page's order: the section, and its word in the menu
SECTIONS = {
    "channels": "Channels",
    "spend": "Spend",
    "campaigns": "Campaigns",
    "unattributed": "Not attributed",
    "funnel": "Funnel",
    "visits": "Visits",
    "people": "People",
    "segments": "Segments",
    "orders": "Orders",
    "quality": "Data quality",
}


def section(name: str) -> ModuleType:
    """The section's module."""
    return importlib.import_module(f"{__name__}.{name}")
