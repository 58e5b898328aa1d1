"""`make clean`."""

from conf.settings import made
from spark_jobs.embedded import cli


def test_clean_takes_what_was_made_and_leaves_what_may_be_the_only_copy(home, capsys):
    for name in ("lake", "logs", "vault", "drops"):
        (made(home / name) / "file.txt").write_text("x")
    (home / "precious").mkdir()
    (home / "report.html").write_text("<title>Throughline: what marketing earned</title>")
    cli.clean()
    assert sorted(path.name for path in home.iterdir()) == ["drops", "precious", "vault"]
    assert "keeps drops, precious, vault: remove them yourself" in " ".join(capsys.readouterr().out.split())


def test_clean_takes_a_home_with_nothing_else_in_it(home, monkeypatch):
    monkeypatch.setenv("THROUGHLINE_HOME", str(home / "made"))
    made(home / "made" / "lake")
    cli.clean()
    assert not (home / "made").exists()
