"""No DAG of its own: where the declaration of a source is wrong, this file is the import error that says so.

Airflow drops every DAG of a file that cannot be imported. So the other files leave out the source whose YAML in conf/sources or conf/mappings
is wrong and keep all others, and its file and key are named here. Mend the file; within a minute the error is gone and its DAG is back.
"""

from __future__ import annotations

from conf.settings import SettingsError
from connectors.kernel.declarations import faults

if wrong := faults():
    raise SettingsError("\n".join(f"ingest_{name} is left out. {said}" for name, said in wrong.items()))
