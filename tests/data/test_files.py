"""Whoever may read a run's other files may read its tensors."""

import os
import stat

import pytest
import torch

from lightrec.data.files import save_tensors
from lightrec.encoders.base import Encoder, encoded
from lightrec.ranking.ranker import Ranker
from lightrec.testing import tiny


@pytest.fixture(params=[(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def mode(request) -> int:
    """The mode of new files under a umask that holds for the test."""
    umask, expected = request.param
    before = os.umask(umask)
    yield expected
    os.umask(before)


def modes(folder) -> set[int]:
    return {stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*") if p.is_file()}


def test_a_part_that_is_saved_twice_follows_the_umask(tmp_path, mode):
    for _ in range(2):
        Ranker(5, size=4).save_pretrained(tmp_path)
        tiny.tiny_user_model().save_pretrained(tmp_path / "users_a")
        assert modes(tmp_path) == {mode}


class Lengths(Encoder):
    size, fingerprint = 1, "lengths"

    def encode(self, values):
        return torch.tensor([[float(len(value))] for value in values])


def test_tensors_and_cached_vectors_follow_the_umask(tmp_path, mode, monkeypatch):
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path / "cache"))
    save_tensors({"a": torch.zeros(3, 2).T}, tmp_path / "a.safetensors")
    assert encoded(Lengths(), ["tea"], ["i"]).tolist() == [[3.0]]
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    assert modes(tmp_path) == {mode}


def test_all_files_of_a_run_have_one_mode(tiny_run):
    assert len(modes(tiny_run)) == 1
