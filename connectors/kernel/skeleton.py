"""A new vendor's files, ready to be filled in: what they hold already is what every vendor has."""

from __future__ import annotations

import re
from pathlib import Path

from conf.settings import REPOSITORY
from connectors.kernel.errors import ConnectorError

FILES = {
    "conf/sources/{name}.yml": """\
# {title}: what its records are, in a sentence.
source: {name}
description: Records of {title}
connector: {name}
kind: batch
# what the vendor calls the version that is asked, and the day on which it ends
api_version: "1"
settings:
  base_url: https://api.{name}.example
  sunset: 2099-12-31
  auth: {{kind: bearer}}
  accounts:
    main: {{secret: {name}_main, time_zone: UTC}}
  budgets:
    # calls and seconds, as the vendor documents them
    all: [[10, 1]]
streams:
  contacts:
    # range: days that are restated; cursor: what changed since; snapshot: all there is
    mode: cursor
    path: contacts
    params: {{updated_since: "{{since}}", limit: 100}}
    records: [data]
    paginator: {{kind: cursor, path: [next], name: cursor}}
    start_date: 2020-01-01
    lookback: 10m
    budget: all
    check: {{limit: 1}}
silver: [silver.contacts]
""",
    "connectors/sources/{name}.py": '''\
"""{title}: what is its own. What all vendors share: connectors.kernel.api."""

from __future__ import annotations

from connectors.kernel.api import Api
from connectors.kernel.http import Rule


class {kind}(Api):
    # what its answers mean where the status alone does not say it: first those of its documents
    rules: tuple[Rule, ...] = ()


CONNECTOR = {kind}()
''',
    "conf/mappings/{name}.yml": """\
# {title} -> silver. Names, addresses and phones become keys or stay behind in bronze.
streams:
  contacts:
    record:
      format: json
      schema: "id STRING, email STRING, country STRING, created_at STRING, updated_at STRING"
    tables:
      silver.contacts:
        columns:
          contact_id: id
          valid_from: updated_at
          created_at: created_at
          country: country
          is_deleted: "false"
        identifiers:
          - {{namespace: email, value: email}}
""",
    "tests/connectors/sources/test_{name}.py": '''\
"""What is {title}'s own; what every API keeps to is tried by tests/connectors/test_apis.py where the sandbox serves it."""

from conf.settings import source
from connectors.kernel.connector import connector_of


def test_each_stream_is_declared():
    declared = source("{name}")
    for name in declared.streams:
        assert connector_of(declared).declared(declared, name).records == ("data",)
''',
}


def write_skeleton(name: str, root: Path = REPOSITORY) -> list[Path]:
    """Write the files of a vendor; returns their paths. Raises ConnectorError where the name is none, or one of them is there."""
    if not re.fullmatch("[a-z][a-z0-9_]{1,39}", name) or name.endswith("_") or "__" in name:
        raise ConnectorError(f"{name!r} is no vendor's name: small letters, digits and single _ are, from a letter on, up to 40")
    words = {"name": name, "title": name.replace("_", " ").title(), "kind": name.replace("_", " ").title().replace(" ", "")}
    paths = {root / path.format(**words): text.format(**words) for path, text in FILES.items()}
    if there := [str(path.relative_to(root)) for path in paths if path.exists()]:
        raise ConnectorError(f"{', '.join(there)}: is there already; choose another name, or take it away first")
    for path, text in paths.items():
        path.write_text(text, encoding="utf-8")
    return list(paths)
