"""How untidy the world is: every share stands here once, and what befalls a record of the web log stands in FAULTS."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

USED, DUPLICATE, LATE, QUARANTINED = "used", "duplicate", "late", "quarantined"


@dataclass(frozen=True)
class Mess:
    """Shares, 0 to 1, of what each comment names."""

    # of the records of the web log; a record meets at most one of them
    sent_twice: float = 0.005
    other_body: float = 0.001
    late_minutes: float = 0.02
    late_days: float = 0.008
    too_late: float = 0.0005
    year_1970: float = 0.0008
    year_2100: float = 0.0005
    cut_short: float = 0.0008
    not_utf8: float = 0.0003
    text_for_time: float = 0.0004
    text_for_object: float = 0.0004
    bad_name: float = 0.0003
    bad_currency: float = 0.0003
    huge_field: float = 0.0003
    # of the browsers: their clock is hours off, in all that they send and nothing else befalls
    clock_off: float = 0.006
    # of the visits
    unknown_field: float = 0.3
    bots: float = 0.02
    disguised_bots: float = 0.1
    hasty_bots: float = 0.7  # of the disguised ones: what they call themselves is a browser, how fast they go through the shop is no person
    no_cookie: float = 0.003
    placeholder_user: float = 0.002
    lost_cookie: float = 0.04
    tags_upper: float = 0.06
    tags_missing: float = 0.05
    referrer_stripped: float = 0.06
    # of the days: their file never came, its records stand in that of three days later
    missing_day: float = 0.04
    # of the households with more than one member, and of the people
    shared_device: float = 0.25
    recycled_email: float = 0.004
    # of the orders
    typo_email: float = 0.008
    placeholder_email: float = 0.006
    placeholder_phone: float = 0.004
    lines_again: float = 0.005
    # of the contacts in the CRM
    twice_in_crm: float = 0.04
    stale_row: float = 0.02
    # of the e-mails: opened by a proxy, every link clicked by a scanner
    proxy_open: float = 0.35
    scanner_click: float = 0.02


MESS = Mess()
CLEAN = Mess(**{f.name: 0.0 for f in fields(Mess)})


def tidy_but(**shares: float) -> Mess:
    """A clean world with these shares alone."""
    return replace(CLEAN, **shares)


@dataclass(frozen=True)
class Fault:
    """What may befall a record. fate: the one place where it must be found; pattern, instead: what of its text becomes what (RE2);
    of_browser: its share is of browsers, and befalls whatever they send."""

    name: str
    fate: str = USED
    pattern: str = ""
    instead: str = ""
    of_browser: bool = False


# Becomes a byte that no UTF-8 text holds when the file is written.
BROKEN_BYTE = "\x01"
FAULTS = (
    Fault(""),
    Fault("late_minutes"),
    Fault("late_days"),
    Fault("too_late", LATE),
    Fault("clock_off", of_browser=True),
    Fault("year_1970"),
    Fault("year_2100"),
    Fault("cut_short", QUARANTINED, r"^(.{90}).*$", r"\1"),
    Fault("not_utf8", QUARANTINED, r'"title":"', rf'"title":"caf{BROKEN_BYTE} '),
    Fault("text_for_time", QUARANTINED, r'"event_at":"[^"]*"', '"event_at":"soon"'),
    Fault("text_for_object", QUARANTINED, r'"page":\{[^}]*\}', '"page":"home"'),
    Fault("bad_name", QUARANTINED, r'"event":"[^"]*"', '"event":"Clicked The Button!"'),
    Fault("bad_currency", QUARANTINED, r"\}$", ',"currency":"pounds"}'),
    Fault("huge_field", USED, r'"title":"', '"title":"' + 3_000 * "padding "),
)
CODES = {fault.name: code for code, fault in enumerate(FAULTS)}
