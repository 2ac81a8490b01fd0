"""The law over the catalog is exact, and the policy keeps to the contract and to what is shut."""

from functools import partial

import pytest
import torch
from lightrec_generate.decoder_tower import DecoderTower
from lightrec_generate.identifiers import Identifiers
from lightrec_generate.parallel import ParallelGenerator
from lightrec_generate.policy import GeneratorPolicy
from lightrec_generate.rewards import DiversityReward
from lightrec_generate.tree import TreeGenerator
from lightrec_testing import PolicyChecks, RewardChecks, parametrize_checks, plugin_checks

from lightrec.keys import Key
from lightrec.simulators.rollout import judge
from lightrec.simulators.user_model import UserModelSimulator
from tests.simulators.tastes import fixed_tastes, starts_of

ITEMS = 40
USERS = torch.randn(5, 8, generator=torch.Generator().manual_seed(3))


def random_policy(kind):
    generator = torch.Generator().manual_seed(0)
    words, chosen = torch.randn(2, ITEMS + 1, 6, generator=generator)
    made = kind(Identifiers(ITEMS, 6, 6, 3, 8).fit(words, chosen), size=8)
    made.start(torch.arange(ITEMS + 1))
    return GeneratorPolicy(made)


@pytest.fixture(autouse=True)
def tiny_decoder(monkeypatch, decoder):
    # Of a language model's kind a tiny one says as much as the usual one, which takes minutes.
    monkeypatch.setattr(DecoderTower.__init__, "__defaults__", (decoder, 1, 2, 0.2, True))


@parametrize_checks(
    plugin_checks("lightrec-generate"),
    PolicyChecks(partial(random_policy, TreeGenerator), part="tree"),
    PolicyChecks(partial(random_policy, ParallelGenerator), part="parallel"),
    RewardChecks(partial(DiversityReward, "kind"), part="diversity"),
)
def test_contract(check):
    check()


@pytest.mark.parametrize("kind", [TreeGenerator, ParallelGenerator])
def test_what_is_learned_is_the_law(kind):
    generator = random_policy(kind).generator.requires_grad_()
    items = torch.arange(1, ITEMS + 1)
    expected = generator.log_probabilities(USERS[:1])[0, 1:]
    losses = [generator.loss(USERS[:1], item[None]) for item in items]
    torch.testing.assert_close(-torch.stack(losses), expected, atol=1e-5, rtol=1e-5)
    generator.loss(USERS[:1].expand(ITEMS, -1), items).backward()
    learned = [each.grad for each in generator.parameters() if each.grad is not None]
    assert all(each.isfinite().all() for each in learned)
    assert generator.written.grad.any()


def test_the_law_is_that_of_digits_one_after_the_other(generator):
    codes = generator.identifiers.codes[1:]
    chosen = torch.arange(1, ITEMS + 1).float()
    for item in range(0, ITEMS, 7):
        total = torch.zeros(())
        for depth in range(3):
            below = (codes[:, :depth] == codes[item, :depth]).all(1)
            queries = generator.queries(depth, USERS[0], codes[item])
            logits = torch.full((8,), -torch.inf)
            for digit in codes[below, depth].unique():
                often = chosen[below & (codes[:, depth] == digit)].sum()
                logits[digit] = queries @ generator.written[depth, digit]
                logits[digit] += generator.popularity[depth] * often.log()
                if depth == 2:
                    same = (below & (codes[:, depth] == digit)).nonzero().flatten()
                    leaf = generator.trie.place[same + 1]
                    logits[digit] += generator.leaf_logits(queries, leaf)[0]
            total = total + logits.log_softmax(0)[codes[item, depth]]
        torch.testing.assert_close(generator.log_probabilities(USERS[:1])[0, item + 1], total)


def test_nothing_shut_is_generated_and_what_opens_comes(tiny_generator):
    policy = GeneratorPolicy(tiny_generator())
    count, users = policy.num_items, torch.arange(24)

    def allowed(rows, ends, played):  # the first three, and what follows something shown
        mask = torch.zeros(len(rows), count + 2, dtype=torch.bool)
        mask = mask.scatter(1, played[Key.SHOWN] + 1, True)[:, : count + 1]
        mask[:, 1:4], mask[:, 0] = True, False
        return mask

    starts = starts_of([[]] * len(users), allowed=allowed, by_history=True)
    simulator = UserModelSimulator(
        fixed_tastes([0.5] * count), starts, len(users), slate_size=3, max_steps=12, ending="fixed"
    )
    shown = torch.zeros(len(users), count + 2, dtype=torch.bool)
    opened = 0

    def note(state, following, alive):
        nonlocal shown, opened
        slate, may = state[Key.ACTION], shown.roll(1, 1)
        may[:, 1:4] = True
        assert (may.gather(1, slate) | (slate == 0)).all()
        opened += int((slate > 3).sum())
        shown = shown.scatter(1, slate, True)
        shown[:, 0] = False

    judge({"generator": policy}, simulator, users, [0], record=note)
    assert opened > 24
