"""The note of a pull's dry run: what it comes to first, then every file or request by name, and nothing that Markdown or a terminal obeys."""

from connectors.kernel.connector import Counts, Plan, Planned
from connectors.kernel.notes import note_of


def plan(*pieces: Planned, skipped: int = 0) -> Plan:
    return Plan(Counts(files=len(pieces) + skipped, landed=len(pieces), skipped=skipped), pieces)


def test_each_file_is_named_with_its_slice_and_what_is_known_of_it():
    days = plan(Planned("2026-11-10", 1, "/drops/10.csv", 1200, 34_000), Planned("2026-11-11", 2, "/drops/11.csv", 34, 900), skipped=1)
    said = note_of("shop", {"orders": days, "refunds": plan(skipped=2), "products": plan(Planned("whole", 1, "/drops/p.json", 1, 100))})
    assert said.splitlines() == [
        "The pull of shop would land 3 slices, 1,235 records, 35,000 bytes; 3 are landed already.",
        "",
        "- `orders`: `/drops/10.csv` (2026-11-10, 1,200 records, 34,000 bytes), `/drops/11.csv` (2026-11-11, 34 records, 900 bytes)",
        "- `products`: `/drops/p.json` (whole, 1 records, 100 bytes)",
    ]


def test_what_an_api_does_not_say_beforehand_is_left_out():
    said = note_of("mail", {"events": plan(Planned("2026-11-10", 1, "https://api.example/events", calls=3))})
    assert said.splitlines() == [
        "The pull of mail would land 1 slice, 3 calls.",
        "",
        "- `events`: `https://api.example/events` (2026-11-10, 3 calls)",
    ]


def test_where_there_is_nothing_new_one_line_says_so():
    assert note_of("shop", {"orders": plan(), "refunds": plan()}) == "The pull of shop would land nothing new."
    assert note_of("shop", {"orders": plan(skipped=1)}) == "The pull of shop would land nothing new; 1 is landed already."


def test_a_file_s_name_is_no_markup_and_names_nobody():
    said = note_of("shop", {"orders": plan(Planned("x", 1, "/drops/a`[b](c)`\x1b\n ann@mail.example.csv", 1, 1))})
    assert said.count("`") == 4 and len(said.splitlines()) == 3 and "\x1b" not in said and "ann@mail.example" not in said
