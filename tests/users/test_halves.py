"""The halves of the users follow the run's seed, and whoever uses both refuses overlapping ones."""

import json

import numpy as np
import pytest
import torch

from lightrec.errors import RecipeError, RunError
from lightrec.learners.policy_data import PolicyData
from lightrec.run import Run
from lightrec.stages.run import run
from lightrec.users.halves import OFFERS, in_half

SENTENCE = "users_a splits the users into halves by seed 5 and users_b by seed 0.* Give both"


def test_halves_are_disjoint_even_and_seeded():
    users = np.arange(10_000)
    a, b = in_half(users, "a", 0), in_half(users, "b", 0)
    assert (a ^ b).all()
    assert in_half(users, "all", 0).all()
    assert abs(a.mean() - 0.5) < 0.02
    assert abs((a == in_half(users, "a", 1)).mean() - 0.5) < 0.02
    assert (in_half(users[5:9], "a", 0) == a[5:9]).all()


def noted(folder, **stages):
    for stage, (half, seed) in stages.items():
        (folder / stage).mkdir(exist_ok=True)
        note = json.dumps({OFFERS: {"half": half, "split_seed": seed}})
        (folder / stage / "config.json").write_text(note)
    return folder


def test_overlapping_halves_are_refused_in_a_sentence(tmp_path):
    Run(tmp_path).check_halves()
    Run(noted(tmp_path, users_a=("a", 5), users_b=("b", 5))).check_halves()
    Run(noted(tmp_path, users_a=("all", 5), users_b=("b", 0))).check_halves()
    with pytest.raises(RunError, match=SENTENCE):
        Run(noted(tmp_path, users_a=("a", 5), users_b=("b", 0))).check_halves()


def test_a_run_refuses_overlapping_halves_before_any_stage_works(lightrec_tiny_files, tmp_path):
    files = dict(zip(("log", "items"), lightrec_tiny_files, strict=True))
    other = {"users_a": ["--seed_everything=5"]}
    with pytest.raises(RecipeError, match=SENTENCE):
        run("generic", out=tmp_path / "run", **files, overrides=other)
    assert not (tmp_path / "run").exists()


def test_a_policy_meets_only_users_from_whom_user_model_a_learned(tiny_run):
    data = PolicyData(*(str(tiny_run / stage) for stage in ("data", "ranker", "users_a")))
    of_half = in_half(np.arange(60), "a", 0)
    drawn, _ = data.starts.draw(500, torch.Generator().manual_seed(0))
    held_out = data.held_out_users.tolist()
    assert of_half[drawn].all()
    assert of_half[held_out].all()
    assert {*drawn.tolist(), *held_out} == {*np.flatnonzero(of_half)}
    assert not {*drawn.tolist()} & {*held_out}
