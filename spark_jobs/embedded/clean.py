"""`make clean`: what Throughline made and marked as its own goes, everything else stays and is named."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from conf.printing import shown
from conf.settings import OWN_MARK, hold, let_go
from spark_jobs.embedded.services import running_state, state_file, stop_leftovers
from spark_jobs.errors import HomeInUseError, ThroughlineError

FOLDERS = ("lake", "landing", "airflow", "spark", "logs", "postgres", "objects")
# what may be somebody's only copy: the files that were dropped, and the key that people are known by
COPIES = ("drops", "vault")
SANDBOX = ("sandbox_shop", "sandbox_marketing", "sandbox_site", "truth")


def is_page(path: Path) -> bool:
    """Whether a file is the report page."""
    return b"<title>Throughline: " in path.read_bytes()[:2_000]


def is_state(path: Path) -> bool:
    """Whether a file is what the services note about themselves."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(found, dict) and {"starter_pid", "mark", "ports"} <= set(found)


def is_day(path: Path) -> bool:
    """Whether a file holds nothing but a day."""
    try:
        dt.date.fromisoformat(path.read_text(encoding="utf-8").strip())
    except ValueError:
        return False
    return True


# the files of a home lie beside others' and have no mark: each is known by what it says
FILES: dict[str, Callable[[Path], bool]] = {
    "report.html": is_page,
    "services.json": is_state,
    "services.tmp": is_state,
    "world_end.txt": is_day,
}


def clean(homes: Sequence[Path], keeps_copies: bool) -> None:
    """Remove what was made in the homes; prints a line per thing that goes, and one that names what stays.

    keeps_copies: drops and the key stay. Raises HomeInUseError, before anything is removed, while services or jobs work in one of them.
    """
    for folder in homes:
        refuse_in_use(folder)
    for folder in homes:
        remove_made(folder, keeps_copies)
        let_go(folder)


def refuse_in_use(folder: Path) -> None:
    """Raises HomeInUseError naming who works in a home; else this process has it alone."""
    before, os.environ["THROUGHLINE_HOME"] = os.environ.get("THROUGHLINE_HOME"), str(folder)
    try:
        if state := running_state():
            raise HomeInUseError(
                f"{folder} is in use by services (process {state['starter_pid']}): stop them with Ctrl-C where they were started. Nothing was removed."
            )
        if state_file().is_file() and is_state(state_file()):
            stop_leftovers()
    finally:
        os.environ.pop("THROUGHLINE_HOME") if before is None else os.environ.update(THROUGHLINE_HOME=before)
    if holder := claim_holder(folder / "lake"):
        raise HomeInUseError(f"{folder}: {holder}: wait for it or stop it. Nothing was removed.")
    if not hold(folder, alone=True):
        raise HomeInUseError(f"{folder} is in use by a command that works there: wait for it or stop it. Nothing was removed.")


def claim_holder(lake: Path) -> str:
    """Which table is claimed by a run that lives, in words; "" when none is."""
    from spark_jobs.engine.claims import LOG, is_gone, newest_states
    from spark_jobs.io.small import open_table, read_arrow

    now = dt.datetime.now(dt.UTC)
    try:
        if lake.is_symlink() or (log := open_table(lake, LOG)) is None:
            return ""
        states = newest_states(log, read_arrow(lake, LOG)["claim"].to_pylist())
    except Exception:
        # a lake that is damaged may go; who works in it holds the home's lock as well
        return ""
    held = [row for row in states.values() if row["expires_at"] > now and not is_gone(row["holder"])]
    return (
        f"{held[0]['claim']} is being written by {held[0]['holder']} (until {held[0]['expires_at']:%H:%M} UTC at the latest)"
        if held
        else ""
    )


def remove_made(folder: Path, keeps_copies: bool) -> None:
    """Take out of one home what is its own; what stays is said."""
    for name in (*FOLDERS, *FILES, *(() if keeps_copies else COPIES)):
        path = folder / name
        if not os.path.lexists(path):
            continue
        if why := reason_to_stay(path):
            print(shown(f"left {path}: {why}"))
            continue
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        except OSError as error:
            raise ThroughlineError(f"{error.filename or path} cannot be removed ({error.strerror}): remove {path} yourself") from None
        print(f"removed {path}")
    left = sorted(path.name for path in folder.iterdir() if path.name != OWN_MARK) if folder.is_dir() else []
    if left:
        print(shown(f"{folder} keeps {', '.join(left)}: remove them yourself if they are not needed"))
    elif (folder / OWN_MARK).is_file() and not folder.is_symlink():
        (folder / OWN_MARK).unlink()
        folder.rmdir()


def reason_to_stay(path: Path) -> str:
    """Why something under a name of ours is not removed; "" when it is ours."""
    if path.is_symlink():
        return f"it is a link to {os.readlink(path)}, and nothing there is removed"
    if path.name in FILES:
        return "" if path.is_file() and FILES[path.name](path) else "Throughline did not write it"
    if not (path / OWN_MARK).is_file():
        return "it does not have the mark of a folder that Throughline made; remove it yourself if it is"
    if path.name == "vault" and os.path.lexists(path.with_name("lake")):
        return "the lake that stays needs its key"
    strangers = sorted(one.name for one in path.iterdir() if one.name not in (*SANDBOX, OWN_MARK)) if path.name == "drops" else []
    return f"the sandbox did not make {', '.join(strangers)}" if strangers else ""
