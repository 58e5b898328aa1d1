"""`make clean`."""

from spark_jobs.embedded import cli


def test_clean_takes_what_was_made_and_leaves_what_may_be_the_only_copy(home, capsys):
    for name in ("lake", "logs", "vault", "drops", "precious"):
        (home / name).mkdir()
        (home / name / "file.txt").write_text("x")
    (home / "report.html").write_text("<html>")
    cli.clean()
    assert sorted(path.name for path in home.iterdir()) == ["drops", "precious", "vault"]
    assert "keeps drops, precious, vault: remove them yourself" in " ".join(capsys.readouterr().out.split())


def test_clean_takes_a_home_with_nothing_else_in_it(home):
    (home / "lake").mkdir()
    cli.clean()
    assert not home.exists()
