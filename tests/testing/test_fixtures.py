"""The fixtures that everybody's pytest finds, and the tiny things behind them."""

import sys

import torch
from lightrec_testing import tiny

from lightrec import plugins

DOMAIN = 'lightrec_domains = hookimpl(lambda: {"chess": "lightrec.data.domain:Domain"})'


def test_models_are_the_same_each_time_and_leave_chance_alone():
    torch.manual_seed(3)
    first, second = (tiny.tiny_user_model().state_dict() for _ in range(2))
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.rand(1) == after
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert tiny.tiny_starts().num_users == 4


def test_plugins_of_one_test(lightrec_plugins):
    assert set(plugins.installed().parts["domains"]) == {"generic"}
    lightrec_plugins.add("mine", DOMAIN)
    assert plugins.installed().parts["domains"]["chess"].path == "lightrec.data.domain:Domain"
    assert plugins.installed() is plugins.installed()
    assert plugins.installed().package("mine") is not None


def test_they_are_gone_in_the_next(lightrec_plugins):
    assert "hooks_of_mine" not in sys.modules
    assert set(plugins.installed().parts["domains"]) == {"generic"}


def test_a_run_of_the_kit_is_made_once_and_is_each_process_s_own(tmp_path, monkeypatch):
    made = []

    def tiny_run(folder, until, text_encoder):
        made.append(until)
        (folder / "tiny").mkdir()
        (folder / "tiny" / "file").write_text("as made")

    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path))
    monkeypatch.setattr(tiny, "tiny_run", tiny_run)
    first, second = (tiny.kit_run.__wrapped__() for _ in range(2))
    assert made == ["policy"]
    (first / "file").write_text("changed")
    assert (second / "file").read_text() == "as made"
    assert (tiny.kit_run.__wrapped__() / "file").read_text() == "as made"
