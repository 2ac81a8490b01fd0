"""Whoever may read a run's other files may read its tensors."""

import os
import stat
from pathlib import Path

import pytest
import torch
from lightrec_testing import tiny

from lightrec.data.files import appearing, is_url, save_tensors, without_password
from lightrec.encoders.base import Encoder, encoded
from lightrec.ranking.ranker import Ranker


@pytest.fixture(params=[(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def mode(request) -> int:
    """The mode of new files under a umask that holds for the test."""
    umask, expected = request.param
    before = os.umask(umask)
    yield expected
    os.umask(before)


def modes(folder) -> set[int]:
    return {stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*") if p.is_file()}


class Lengths(Encoder):
    size, fingerprint = 1, "lengths"

    def encode(self, values):
        return torch.tensor([[float(len(value))] for value in values])


def test_parts_that_are_saved_twice_and_cached_vectors_follow_the_umask(
    tmp_path, mode, monkeypatch
):
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path / "cache"))
    assert encoded(Lengths(), ["tea"], ["i"]).tolist() == [[3.0]]
    for _ in range(2):
        Ranker(5, size=4).save_pretrained(tmp_path)
        tiny.tiny_user_model().save_pretrained(tmp_path / "users_a")
        save_tensors({"a": torch.zeros(3, 2).T}, tmp_path / "a.safetensors")
        assert modes(tmp_path) == {mode}


def test_all_files_of_a_run_have_one_mode(tiny_run):
    assert len(modes(tiny_run)) == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s3cret@host/db#t", "postgresql://me:***@host/db#t"),
        ("postgresql://:s3cret@host/db", "postgresql://:***@host/db"),
        ("postgresql://me:s3/cr@et@host/db", "postgresql://me:***@host/db"),
        ("MySQL+pymysql://host/db?Passwd=s3cret&x=1", "MySQL+pymysql://host/db?Passwd=***&x=1"),
        ("mssql+pyodbc://host/db?driver=x;PWD=s3cret", "mssql+pyodbc://host/db?driver=x;PWD=***"),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Ds3cret", "mssql+pyodbc:///?odbc_connect=***"),
        ("snowflake://me@host/db?access_token=s3cret", "snowflake://me@host/db?access_token=***"),
        ("postgresql://host:5432/db#SELECT '@'", "postgresql://host:5432/db#SELECT '@'"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url, shown):
    assert is_url(url)
    assert without_password(url) == shown
    # A path has lost a slash.
    assert without_password(str(Path(url))) == str(Path(shown))


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "cache" / "set"
    with pytest.raises(IsADirectoryError), appearing(target) as part:
        part.write_text("a failure half way")
    assert list(target.parent.iterdir()) == []
    with appearing(target) as part:
        (part / "file").write_text("first")
        assert not target.exists()
    # Another process was quicker: its folder stays.
    with appearing(target) as part:
        (part / "file").write_text("second")
    assert (target / "file").read_text() == "first"
    assert [path.name for path in target.parent.iterdir()] == ["set"]
