"""Which tables a selection means, and for which sources each of them is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from conf.names import bronze_name
from conf.settings import source as declared_source, sources_of
from conf.tables import table
from spark_jobs.errors import SelectionError
from spark_jobs.io.lake import Lake
from spark_jobs.io.small import sources_in
from spark_jobs.job import Job, in_order, jobs

# a job and the source that it is run for, or None where one run builds all of its table
Target = tuple[Job, str | None]


def select_tables(selection: Iterable[str], known: Mapping[str, Job] | None = None) -> list[str]:
    """Tables of a selection in dependency order: a table, a layer, `+table` (with all upstream), `table+` (with all downstream), `all`.

    known: the jobs to choose from, by default all. Raises SelectionError naming what can be selected.
    """
    known = jobs() if known is None else known
    chosen: set[str] = set()
    for term in selection:
        names = _named(term.strip("+"), set(known))
        if term.startswith("+"):
            names |= _closure(names, lambda n: [m for m in known[n].upstream() if m in known])
        if term.endswith("+"):
            names |= _closure(names, lambda n: [m for m in known if n in known[m].upstream()])
        chosen |= names
    return in_order(chosen, known)


def _named(term: str, known: set[str]) -> set[str]:
    """The tables that one word means, of those that there are."""
    layers = sorted({name.split(".")[0] for name in known})
    names = known if term == "all" else known & {term} or {name for name in known if name.split(".")[0] == term}
    if not names:
        raise SelectionError(f"nothing is called {term!r}: choose all, a layer {layers} or a table {sorted(known)}")
    return names


def _closure(names: set[str], neighbours: Callable[[str], Iterable[str]]) -> set[str]:
    seen, pending = set(names), list(names)
    while pending:
        for neighbour in neighbours(pending.pop()):
            if neighbour not in seen:
                seen.add(neighbour)
                pending.append(neighbour)
    return seen


def targets(lake: Lake, names: Iterable[str], only_source: str | None = None) -> list[Target]:
    """The jobs of the tables, each with every source that ever delivered something for it, or, where it is given, with that one alone."""
    found: list[Target] = []
    for job in (jobs()[name] for name in names):
        if not is_by_source(job):
            found.append((job, None))
            continue
        found += [(job, s) for s in sources_feeding(job) if s == only_source or (only_source is None and has_rows(lake, job, s))]
    return found


def is_by_source(job: Job) -> bool:
    """Whether a table is built for one source at a time."""
    return bool(table(job.table).write.partition_by) or job.is_mapped()


def parts_feeding(name: str) -> tuple[str | None, ...]:
    """The sources whose runs build a table, or None alone where one run builds all of it."""
    job = jobs()[name]
    return sources_feeding(job) if is_by_source(job) else (None,)


def sources_feeding(job: Job) -> tuple[str, ...]:
    """The declared sources whose rows reach a table that is built by source."""
    if job.is_mapped():
        return tuple(sorted(sources_of(job.table)))
    above = (jobs()[name] for name in job.upstream() if table(name).write.partition_by)
    return tuple(sorted({source for one in above for source in sources_feeding(one)}))


def has_rows(lake: Lake, job: Job, source: str) -> bool:
    """Whether a source ever delivered something to a table or to what it is made of."""
    if job.is_mapped() and any(lake.exists(bronze_name(source, stream)) for stream in declared_source(source).streams):
        return True
    if source in sources_in(lake.root, job.table):
        return True
    return any(table(name).write.partition_by and has_rows(lake, jobs()[name], source) for name in job.upstream())


def holds(lake: Lake, name: str, source: str | None) -> bool:
    """Whether a table has rows, of a source where it is partitioned by it."""
    if not table(name).write.partition_by:
        return lake.version(name) > 0
    return source in sources_in(lake.root, name)
