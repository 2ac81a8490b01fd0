"""Sessions with real answers: a plain loop over the table, and beliefs in closed form."""

import polars as pl
import pytest
import torch
from lightrec_testing import SimulatorChecks
from lightrec_worlds.answered import ANSWERS, AnsweredWorld
from lightrec_worlds.answers import Answers
from lightrec_worlds.beliefs import BeliefPolicy
from lightrec_worlds.loadings import Loadings
from torch.nn.functional import pad

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.policies.baselines import RandomPolicy
from lightrec.simulators.rollout import play

PEOPLE, ITEMS, FACTORS = 4_000, 12, 2


def drawn(people=PEOPLE, seed=0, unknown=1 / 3):
    """Answers of a factor model, a share of them unknown, and the model."""
    draw = torch.Generator().manual_seed(seed)
    mean, weights = torch.randn(ITEMS, generator=draw), torch.randn(ITEMS, FACTORS, generator=draw)
    taste, noise = (torch.randn(people, n, generator=draw) for n in (FACTORS, ITEMS))
    values = mean + taste @ weights.T + 0.5 * noise
    nobody_asked = torch.rand(people, ITEMS, generator=draw) < unknown
    values = values.masked_fill(nobody_asked, torch.nan)
    return pad(values, (1, 0), value=torch.nan), mean, weights


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A file of graded answers."""
    values, _, _ = drawn(60)
    user, item = (~values.isnan()).nonzero(as_tuple=True)
    rows = {"user": user.numpy(), "item": item.numpy(), "value": values[user, item].numpy()}
    path = tmp_path_factory.mktemp("answers") / "answers.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return str(path)


@pytest.fixture(scope="module")
def make(log):
    return lambda batch_size, **how: AnsweredWorld(batch_size, log=log, **{"max_steps": 4, **how})


def test_the_contract(make):
    for check in SimulatorChecks(make):
        check()


def test_sessions_are_a_plain_loop_over_the_table(make, log):
    world, table = make(30, slate_size=2), Answers.read(log).part("new")
    steps = []
    sessions, _ = play(
        RandomPolicy(ITEMS), world, torch.arange(30), 0, record=lambda *step: steps.append(step)
    )
    for person in range(30):
        total, seen = 0.0, []
        for state, following, alive in steps:
            if not alive[person]:
                continue
            for place, item in enumerate(state[Key.ACTION][person].tolist()):
                answer = float(table.values[person, item]) if item else 0.0
                assert answer == answer  # it is known
                assert item == 0 or item not in seen
                assert bool(following[Key.TAKEN][person, place]) == (answer > 0)
                total, seen = total + answer, [*seen, item]
            answers = table.values[person, seen].nan_to_num()
            assert torch.equal(following[ANSWERS][person, : len(seen)], answers)
        assert float(sessions.reward[0, person]) == pytest.approx(total, abs=1e-5)


def test_who_may_be_learned_from_does_not_judge(log):
    table = Answers.read(log)
    known, new = table.part("known", 0.7, 3), table.part("new", 0.7, 3)
    assert sorted(known.people + new.people) == table.people
    assert len(known.people) == 42
    assert table.part("known", 0.7, 4).people != known.people
    with pytest.raises(RecipeError, match="leaves none of the 60 people"):
        table.part("known", 1.0)


def test_likes_alone_make_all_else_a_decline(tmp_path):
    path = tmp_path / "likes.csv"
    path.write_text("user,item\na,x\nb,y\nb,x\n")
    values = Answers.read(str(path)).values
    assert values[:, 1:].tolist() == [[1, 0], [1, 1]]
    path = tmp_path / "twice.csv"
    path.write_text("user,item,rating\na,x,1\na,x,2\n")
    with pytest.raises(RecipeError, match="two answers of a person to the same item"):
        Answers.read(str(path))


def test_factors_are_found_where_answers_are_missing():
    values, mean, weights = drawn()
    found = Loadings.of(values, FACTORS, rounds=100)
    torch.testing.assert_close(found.mean[1:].float(), mean, atol=0.1, rtol=0)
    expected = weights @ weights.T + 0.25 * torch.eye(ITEMS)
    covariance = found.weights @ found.weights.T + found.noise.diag()
    torch.testing.assert_close(covariance[1:, 1:].float(), expected, atol=0.2, rtol=0.05)
    assert torch.equal(Loadings.of(values, FACTORS, rounds=100).weights, found.weights)


def test_with_even_noise_factors_are_principal_components():
    values, _, _ = drawn(unknown=0.0)
    # Much noise, beside which the two answers' worth of prior is little.
    values += 2 * torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    found = Loadings.of(values, FACTORS, even=True, rounds=300)
    spreads, directions = torch.linalg.eigh(values[:, 1:].double().T.cov(correction=0))
    noise = spreads[:-FACTORS].mean()  # Tipping and Bishop 1999, equations 7 and 8
    expected = (directions * (spreads - noise).clamp_min(0)) @ directions.T
    expected = directions[:, -FACTORS:] @ (directions.T @ expected)[-FACTORS:]
    torch.testing.assert_close(found.noise[1:], noise.expand(ITEMS), rtol=0.01, atol=0)
    weights = found.weights[1:]
    torch.testing.assert_close(weights @ weights.T, expected, rtol=0.02, atol=0.02)


def test_items_that_nobody_answered_are_what_their_vectors_say():
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(41, 3, generator=draw)
    slopes, taste = torch.randn(3, 3, generator=draw), torch.randn(PEOPLE, 2, generator=draw)
    truth = vectors @ slopes
    values = truth[:, 0] + taste @ truth[:, 1:].T + 0.1 * torch.randn(PEOPLE, 41, generator=draw)
    new = torch.arange(41) > 30
    values[:, 0] = torch.nan
    whole = Loadings.of(values, 2)
    found = Loadings.of(values.masked_fill(new, torch.nan), 2).described(vectors, new)
    torch.testing.assert_close(found.mean[new], whole.mean[new], atol=0.05, rtol=0.05)
    for model in (found, whole):  # of factors only products are known
        model.weights[0] = 0
    both = [model.weights[new] @ model.weights[1:31].T for model in (found, whole)]
    torch.testing.assert_close(*both, atol=0.05, rtol=0.05)
    assert (found.noise[new] >= found.noise[1:31].mean()).all()


@pytest.mark.parametrize("after", ["answers", "likes", "nothing"])
def test_a_belief_is_the_conditional_expectation(make, after):
    world = make(30, size=FACTORS)
    policy = BeliefPolicy.from_world(world, after=after)
    world.fix(torch.arange(30), 0)
    state = world.reset()
    for _ in range(3):
        state = world.step(policy.act(state))["next"]
    scores, seen, answers = policy.logits(state), state[Key.SEEN], state[ANSWERS]
    mean, weights = world.loadings.mean, world.loadings.weights
    covariance = weights @ weights.T + world.loadings.noise.diag()
    for person in range(30):
        there = {"answers": seen > 0, "likes": answers > 0, "nothing": seen < 0}[after][person]
        items, said = seen[person][there], answers[person][there].double()
        left = torch.linalg.solve(covariance[items][:, items], said - mean[items])
        expected = mean + (weights @ weights.T)[:, items] @ left
        torch.testing.assert_close(scores[person, 1:].double(), expected[1:], atol=1e-4, rtol=1e-4)
