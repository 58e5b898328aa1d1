"""What every connector keeps to. A connector's test class is a ConnectorContract with a `world` of its own, and has these tests by existing."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import importlib
import itertools
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pytest
import yaml

from conf import settings
from conf.settings import REPOSITORY, Source
from connectors.__main__ import main
from connectors.kernel import landing as landing_module, pulls
from connectors.kernel.connector import Scope
from connectors.kernel.errors import StreamDeclarationError
from connectors.kernel.landing import Landing, landed, newest_of

FIRST = date(2026, 11, 18)
LAST = FIRST + timedelta(days=2)
COUNTS = ("files", "landed", "skipped", "refused", "records")


class World(Protocol):
    """A vendor, or a folder, in a sandbox. source: has two streams or more; secrets: what may be told nowhere but in the landing."""

    source: Source
    secrets: Sequence[str]

    def serve(self, stream: str, day: date, records: Sequence[dict[str, Any]]) -> None:
        """Have the records for whoever asks for the day."""

    def spoil(self, stream: str) -> None:
        """From now on something of the stream cannot be read, and says a secret when it is asked."""

    def close(self, stream: str) -> None:
        """From now on nothing of the stream can be had."""


class ConnectorContract:
    """Subclass it with a fixture `world`.

    durable: the functions that make something last; a pull is killed before and after each call.
    """

    durable: ClassVar[tuple[str, ...]] = ("connectors.kernel.landing.write_durably",)

    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError("a connector's test class has a fixture `world`")

    @pytest.fixture
    def served(self, world: World, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[str]]]:
        """The world with three days of its first two streams, of which the range has two days; by stream the ids of the range. Its source is
        declared in a copy of conf."""
        monkeypatch.setattr(settings, "CONF", declared_in(home.parent / f"{home.name}-conf", world.source))
        monkeypatch.setattr(landing_module, "PART_RECORDS", 2)
        forget()
        ids: dict[str, list[str]] = {}
        for name in list(world.source.streams)[:2]:
            for number, day in enumerate((FIRST - timedelta(days=1), FIRST, LAST)):
                records = [{"id": f"{name}-{day}-{n}", "email": "ann@mail.example"} for n in range(3 + number)]
                world.serve(name, day, records)
                ids[name] = ids.get(name, []) + [str(one["id"]) for one in records if day >= FIRST]
        yield ids
        forget()

    def test_a_pull_lands_each_record_of_the_range_once(self, world, served, home):
        counts = pulls.pull(world.source, Scope(FIRST, LAST), Landing(home / "landing", "run-1"), print)
        assert list(counts) == list(world.source.streams)
        for name, ids in served.items():
            assert ids_of(home, world, name) == Counter(ids) and counts[name].records == len(ids) and not counts[name].failures

    def test_every_record_says_where_it_comes_from(self, world, served, home):
        pulls.pull(world.source, Scope(FIRST, LAST), Landing(home / "landing", "run-1"), print)
        for name in served:
            for line in lines_of(home, world, name):
                told = (line["_source"], line["_stream"], line["_account"], line["_api_version"], line["_run_id"])
                assert told == (world.source.source, name, world.source.account, world.source.api_version, "run-1")
                assert line["_slice_id"] and line["_row"] >= 1 and len(line["_sha256"]) == 64

    def test_a_second_pull_lands_nothing(self, world, served, home):
        pulls.pull(world.source, Scope(FIRST, LAST), Landing(home / "landing", "run-1"), print)
        before = snapshot(home / "landing")
        counts = pulls.pull(world.source, Scope(FIRST, LAST), Landing(home / "landing", "run-2"), print)
        assert {(one.landed, one.records) for one in counts.values()} == {(0, 0)} and snapshot(home / "landing") == before

    def test_a_kill_at_any_step_loses_nothing_and_lands_nothing_twice(self, world, served, home):
        step = 0
        while self.killed(world, home / f"{step}", step):
            pulls.pull(world.source, Scope(FIRST, LAST), Landing(home / f"{step}" / "landing", "run-2"), print)
            for name, ids in served.items():
                assert ids_of(home / f"{step}", world, name) == Counter(ids), f"killed at step {step}"
            step += 1
        # before and after each part and each manifest
        assert step >= 2 * 2 * (2 + 3 + 2)

    def test_an_unknown_key_is_refused_with_file_key_and_what_is_allowed(self, world, served, home, capsys, monkeypatch):
        name = next(iter(served))
        streams = {**world.source.streams, name: {**world.source.streams[name], "colour": "red"}}
        wrong = dataclasses.replace(world.source, streams=streams)
        with pytest.raises(StreamDeclarationError) as error:
            pulls.pull(wrong, Scope(FIRST, LAST), Landing(home / "landing", "run-1"), print)
        said = str(error.value)
        assert f"conf/sources/{wrong.source}.yml: streams.{name}: " in said and "'colour'" in said and "allowed are [" in said
        assert not (home / "landing").exists()
        declared_in(settings.CONF, wrong)
        forget()
        for words in (("check", wrong.source), pull_words(world), pull_words(world, "--dry-run")):
            code, out, err = run(capsys, monkeypatch, *words)
            assert (code, out) == (2, "") or (words[0] == "check" and code == 2)
            assert said in err and len(err.strip().splitlines()) == 1

    @pytest.mark.parametrize("fault", ["spoil", "close"])
    def test_a_stream_that_fails_costs_no_other_and_is_listed(self, world, served, home, capsys, monkeypatch, fault):
        broken, sound = served
        getattr(world, fault)(broken)
        code, out, err = run(capsys, monkeypatch, *pull_words(world))
        title = f"{world.source.source}.{broken}"
        assert code in (2, 4) and json.loads(out)["failed"] == [title]
        assert f"1 of {len(world.source.streams)} streams failed ({title})" in err and "\nerror: " in err and "Traceback" not in err
        assert ids_of(home, world, sound) == Counter(served[sound])
        assert run(capsys, monkeypatch, *pull_words(world, "--dry-run"))[0] == code

    def test_a_stream_that_cannot_be_landed_costs_no_other_and_is_tried_again(self, world, served, home, capsys, monkeypatch):
        broken, sound = served
        place = home / "landing" / world.source.source / broken
        place.parent.mkdir(parents=True)
        place.write_text("no folder")
        code, out, err = run(capsys, monkeypatch, *pull_words(world))
        assert code == 4 and json.loads(out)["failed"] == [f"{world.source.source}.{broken}"]
        assert err.splitlines()[-1].startswith(f"error: {place}") and "pull again" in err and "Traceback" not in err
        assert ids_of(home, world, sound) == Counter(served[sound])
        place.unlink()
        assert run(capsys, monkeypatch, *pull_words(world))[0] == 0 and ids_of(home, world, broken) == Counter(served[broken])

    def test_the_counts_add_up_whatever_fails(self, world, served, home, capsys, monkeypatch):
        def totals(*more: str) -> dict[str, Any]:
            told: dict[str, Any] = json.loads(run(capsys, monkeypatch, *pull_words(world, *more))[1])
            for count in (told, *told["streams"].values()):
                assert count["files"] == count["landed"] + count["skipped"] + count["refused"]
            for key in COUNTS:
                assert told[key] == sum(one[key] for one in told["streams"].values())
            return told

        world.spoil(next(iter(served)))
        for told in (totals("--dry-run"), totals()):
            assert told["records"] == sum(map(len, served.values())) and told["refused"] == 1
        assert totals()["landed"] == 0

    def test_nothing_personal_or_secret_is_said(self, world, served, capsys, monkeypatch):
        world.spoil(next(iter(served)))
        for words in (("check", world.source.source), pull_words(world, "--dry-run"), pull_words(world), pull_words(world)):
            _, out, err = run(capsys, monkeypatch, *words)
            assert out and not [one for one in (*world.secrets, "ann@mail.example") if one in out + err]

    def test_a_dry_run_writes_nothing_and_says_what_the_pull_lands(self, world, served, home, capsys, monkeypatch):
        before = snapshot(home)
        code, out, err = run(capsys, monkeypatch, *pull_words(world, "--dry-run"))
        assert code == 0 and snapshot(home) == before
        told = json.loads(out)
        assert told["dry_run"] is True and err.count("would land") == sum(len(one["slices"]) for one in told["streams"].values())
        assert run(capsys, monkeypatch, *pull_words(world))[0] == 0
        for name in served:
            done = {(one.manifest["slice_id"], one.manifest["attempt"]) for one in attempts(home, world, name)}
            assert {(one["slice_id"], one["attempt"]) for one in told["streams"][name]["slices"]} == done
        before = snapshot(home)
        again = json.loads(run(capsys, monkeypatch, *pull_words(world, "--dry-run"))[1])
        assert again["landed"] == 0 and all(not one["slices"] for one in again["streams"].values()) and snapshot(home) == before

    def test_a_pull_s_line_tells_what_was_done(self, world, served, capsys, monkeypatch):
        code, out, _ = run(capsys, monkeypatch, *pull_words(world, "--run-id", "run-7"))
        (line,) = out.splitlines()
        told = json.loads(line)
        assert code == 0 and set(told) == {"source", "from", "to", "run_id", "dry_run", "failed", "streams", *COUNTS}
        assert (told["source"], told["from"], told["to"], told["run_id"]) == (world.source.source, str(FIRST), str(LAST), "run-7")
        assert (told["dry_run"], told["failed"], list(told["streams"])) == (False, [], list(world.source.streams))
        assert all(set(one) == set(COUNTS) and all(isinstance(n, int) for n in one.values()) for one in told["streams"].values())

    def test_a_check_tells_what_can_be_pulled_and_writes_nothing(self, world, served, home, capsys, monkeypatch):
        before = snapshot(home)
        code, out, err = run(capsys, monkeypatch, "check", world.source.source)
        (line,) = out.splitlines()
        assert (
            (code, err) == (0, "")
            and snapshot(home) == before
            and {json.loads(line)["streams"][name]["state"] for name in served} == {"ok"}
        )
        broken, sound = served
        world.close(broken)
        before = snapshot(home)
        code, out, err = run(capsys, monkeypatch, "check", world.source.source)
        told, title = json.loads(out), f"{world.source.source}.{broken}"
        assert code in (2, 4) and list(told["failed"]) == [title] and told["streams"][sound]["state"] == "ok"
        assert err == f"error: {told['failed'][title]}\n" and snapshot(home) == before

    def killed(self, world: World, home: Path, step: int) -> bool:
        """Whether a pull into a home of its own was killed at a step; False when it has no such step and came to its end."""
        child = os.fork()
        if not child:
            try:
                steps = itertools.count()
                for name in self.durable:
                    place, _, function = name.rpartition(".")
                    module = importlib.import_module(place)
                    setattr(module, function, deadly(getattr(module, function), steps, step))
                pulls.pull(world.source, Scope(FIRST, LAST), Landing(home / "landing", "run-1"), lambda _: None)
            finally:
                os._exit(1 if sys.exc_info()[0] else 0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or not os.WEXITSTATUS(status), "the pull failed"
        return os.WIFSIGNALED(status)


def deadly(function: Any, steps: Iterator[int], last: int) -> Any:
    """The function, with a step before each call and one after it; the last of the steps is a kill."""

    def step() -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        step()
        result = function(*arguments, **named)
        step()
        return result

    return called


def declared_in(conf: Path, source: Source) -> Path:
    """A copy of conf that declares the source."""
    if not conf.exists():
        shutil.copytree(REPOSITORY / "conf", conf, ignore=shutil.ignore_patterns("__pycache__", "adr"))
    (conf / "sources" / f"{source.source}.yml").write_text(yaml.safe_dump(plain(dataclasses.asdict(source))))
    return conf


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def forget() -> None:
    """Let every file of conf be read again."""
    for read in (settings.source, settings.source_names, settings.mapping):
        read.cache_clear()


def pull_words(world: World, *more: str) -> tuple[str, ...]:
    return ("pull", world.source.source, "--from", str(FIRST), "--to", str(LAST), *more)


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    """The exit code, output and errors of `python -m connectors` with the words."""
    monkeypatch.setattr(sys, "argv", ["connectors", *words])
    capsys.readouterr()
    code = main()
    return code, *capsys.readouterr()


def attempts(home: Path, world: World, stream: str) -> list[Any]:
    return landed(home / "landing", world.source.source, stream)


def lines_of(home: Path, world: World, stream: str) -> list[dict[str, Any]]:
    """The envelopes of what is in force."""
    parts = [Path(file["path"]) for one in newest_of(attempts(home, world, stream)).values() for file in one.manifest["files"]]
    return [json.loads(line) for part in parts for line in gzip.decompress(part.read_bytes()).splitlines()]


def ids_of(home: Path, world: World, stream: str) -> Counter[str]:
    return Counter(str(json.loads(line["payload"])["id"]) for line in lines_of(home, world, stream))


def snapshot(folder: Path) -> dict[str, int]:
    """Every path below a folder, and when it was last written."""
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}
