"""Users who are a language model: what they are asked, what they choose, when they may judge."""

import json
import math
import shutil
from dataclasses import asdict
from functools import cache
from unittest.mock import patch
from zlib import crc32

import pytest
import torch
from lightrec_generate import users
from lightrec_generate.agreement import Agreement, Choices, measured
from lightrec_generate.answers import Answers
from lightrec_generate.language_readers import LanguageReader
from lightrec_generate.users import (
    FOLDER,
    NOTHING,
    SETTINGS,
    LanguageChoice,
    LanguageModelUsers,
    agree,
)

from lightrec.__main__ import main
from lightrec.data.store import TEST, VALIDATION
from lightrec.errors import DataError, RecipeError, RunError
from lightrec.intervals import Interval
from lightrec.keys import Key
from lightrec.run import Run
from lightrec.testing import parametrize_checks, tiny
from lightrec.testing.simulators import SimulatorChecks

WORDS = ["", "a red lamp", "tea of rope", "song", "red tea"]


class Noise(LanguageReader):
    """Likes lines for no reason."""

    def forward(self, histories, candidates):
        rows = zip(histories, candidates, strict=True)
        return torch.tensor([[self.score(text, line) for line in row] for text, row in rows])

    def score(self, text, line):
        return crc32("\n".join([*text, line]).encode()) / 2**30


class Walker(Noise):
    """Knows that people of the tiny log walk through the items of a kind in their order."""

    def score(self, text, line):
        if line == NOTHING or " number " not in text[-1]:
            return 0.0
        kind, number = text[-1].split(" number ")
        return 8.0 * (line == f"{kind} number {(int(number) + 1) % 12}")


@pytest.fixture
def run(tmp_path):
    """A tiny run of one's own."""
    shutil.copytree(tiny.kit_run(), tmp_path / "run")
    return Run(tmp_path / "run")


def test_everything_is_asked_once_and_kept_on_disk(tmp_path):
    reader = Noise()
    answers = Answers(reader, tmp_path / "answers.db")
    texts = [["one"], ["one", "two"], ["one"]]
    lines = [[f"line {n}" for n in range(40)], ["line 0", "line 1"], ["line 39", "line 40"]]
    said = answers.scores(texts[1:], lines[1:])
    rows = zip(texts[1:], lines[1:], strict=True)
    expected = torch.tensor([[reader.score(text, line) for line in row] for text, row in rows])
    torch.testing.assert_close(said, expected)
    assert answers.computed == 4
    whole = answers.scores(texts[:1], lines[:1])
    assert whole[0].tolist() == pytest.approx([reader.score(texts[0], x) for x in lines[0]])
    assert answers.computed == 43
    answers.scores(texts[:1], lines[:1])
    assert answers.computed == 43
    again = Answers(Noise(), tmp_path / "answers.db")
    assert torch.equal(again.scores(texts[:1], lines[:1]), whole)
    assert again.computed == 0
    other = Answers(Walker(), tmp_path / "answers.db")
    other.scores(texts[1:2], lines[1:2])
    assert other.computed == 2  # what another model said does not count


def test_utilities_are_weighed_scores_less_those_of_nothing():
    reader = Noise()
    choice = LanguageChoice(Answers(reader), WORDS, "of a", ["", "a and a"], items=2)
    choice.weights.copy_(torch.tensor([0.7, -0.4]))
    choice.nothing_shift.fill_(0.3)

    def worth(text, line):
        return 0.7 * reader.score(text, line) - 0.4 * reader.score(["of a"], line)

    history, items = torch.tensor([[3, 1, 2], [0, 0, 0]]), torch.tensor([[3, 4], [1, 0]])
    state = choice.state(history)
    utilities = choice.utilities(state, items, torch.tensor([1, 0]))
    text = ["of a", "a and a", "a red lamp", "tea of rope"]
    expected = [worth(text, line) - worth(text, NOTHING) - 0.3 for line in ("song", "red tea")]
    assert utilities[0].tolist() == pytest.approx(expected, abs=1e-4)
    expected = worth(["of a"], "a red lamp") - worth(["of a"], NOTHING) - 0.3
    assert utilities[1].tolist() == pytest.approx([expected, -math.inf], abs=1e-4)
    law = choice.log_probabilities(history, items)
    torch.testing.assert_close(law.exp().sum(1), torch.ones(2))
    whole = choice.utilities(state)[0, [3, 4]]
    assert torch.equal(whole, choice.utilities(state, items)[0])
    assert choice.after(history, items).tolist() == [[[2, 3], [2, 4]], [[0, 1], [0, 0]]]


def test_agreement_of_laws_that_are_known():
    even = torch.full((400, 4), 0.25).log()
    agreement = measured(even, even)
    assert agreement.log_likelihood == pytest.approx(-math.log(4))
    assert agreement.chance == pytest.approx(-math.log(4))
    assert agreement.over_chance == pytest.approx(Interval(0, 0, 0), abs=1e-6)
    assert agreement.calibration_error == pytest.approx(0, abs=1e-6)
    # In three of four choices the likeliest is right, as often as it says.
    right, wrong = torch.tensor([0.75, 0.25]), torch.tensor([0.25, 0.75])
    law = torch.stack([right, right, right, wrong] * 100).log()
    agreement = measured(law, torch.full((400, 2), 0.5).log())
    assert agreement.accuracy == 0.75
    assert agreement.calibration_error == pytest.approx(0, abs=1e-6)
    gain = math.log(2) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    assert agreement.over_popularity.mean == pytest.approx(gain)
    assert agreement.may_judge
    assert Agreement.of_plain(json.loads(json.dumps(asdict(agreement)))) == agreement
    assert "They may judge." in agreement.in_words()


def test_what_cannot_be_measured_or_played_is_refused(run):
    with pytest.raises(RunError, match="lightrec agreement"):
        LanguageModelUsers(str(run.path), 3)
    with pytest.raises(RunError, match="reader"):
        agree(run, "reader")
    for wrong in ({"nothing_rate": 1.0}, {"candidates": 1}, {"items": 0}):
        with pytest.raises(RecipeError, match="expected are"):
            agree(run, **wrong)
    with pytest.raises(DataError, match="fewer candidates"):
        Choices.held_out(run.data, TEST, 10, run.data.num_items, 4, seed=0)


def test_who_knows_the_log_may_judge(run, monkeypatch):
    monkeypatch.setattr(users, "reader_of", lambda run, model: Walker())
    agreement = agree(run, events=60, candidates=5)
    assert agreement.may_judge
    assert agreement.accuracy > 0.7
    assert agreement.log_likelihood > agreement.popularity + 0.3
    simulator = LanguageModelUsers(str(run.path), 3)
    assert simulator.in_mode("fixed").ending == "fixed"
    said = json.loads((run.path / FOLDER / SETTINGS).read_text())
    choice, again = users.load(run)
    assert again == agreement
    assert choice.weights.tolist() == pytest.approx(said["weights"])
    # None is taken as often as was assumed.
    drawn = Choices.held_out(run.data, VALIDATION, 60, 5, 5, 0)
    with torch.no_grad():
        law = choice.log_probabilities(drawn.history, drawn.items, drawn.user)
    assert float(law[:, -1].exp().mean()) == pytest.approx(0.5, abs=1e-3)


def test_who_does_not_is_refused_as_a_judge_and_plays(run, monkeypatch, capsys):
    monkeypatch.setattr(users, "reader_of", lambda run, model: Noise())
    assert not agree(run, events=60, candidates=5).may_judge
    simulator = LanguageModelUsers(str(run.path), 3, slate_size=2, max_steps=2)
    state = simulator.rollout(2, policy=simulator.rand_action)
    assert state[Key.ACTION].shape == (3, 2, 2)
    with pytest.raises(RecipeError, match="may not judge anything"):
        simulator.in_mode("free")
    line = [f"LanguageModelUsers:run={run.path}", "--policy", "random", "--sessions", "4"]
    assert main(["judge", *line]) != 0
    assert "may not judge anything. On 60 held-out choices among 5" in capsys.readouterr().err


@cache
def measured_run():
    with tiny.kit_folder("language-users") as folder:
        shutil.copytree(tiny.kit_run(), folder / "run")
        agree(Run(folder / "run"), events=60, candidates=5)
    return str(folder / "run")


def walkers(rows):
    with patch.object(users, "reader_of", lambda run, model: Walker()):
        return LanguageModelUsers(measured_run(), rows, slate_size=2, max_steps=4)


@parametrize_checks(c for c in SimulatorChecks(walkers, part="walkers") if c.name != "compiles")
def test_they_keep_the_contract_of_simulators(check):
    check()
