"""lightrec's own parts keep the contracts that it asks of everybody's."""

from functools import partial

import pytest
import torch
from lightrec_testing import (
    EncoderChecks,
    EvaluatorChecks,
    PolicyChecks,
    RewardChecks,
    SimulatorChecks,
    check_all,
    parametrize_checks,
    plugin_checks,
    tiny,
)

from lightrec import plugins
from lightrec.encoders.text import TextEncoder
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.evaluation.sessions import SimulatedSessions
from lightrec.policies.candidate import CandidatePolicy
from lightrec.ranking.ranker import Ranker
from lightrec.rewards.accepted import EngagementReward, LearnedReward, WeightedSum
from lightrec.simulators.user_model import UserModelSimulator
from lightrec.simulators.worlds.far import FarLaws
from lightrec.users.choice_model import RecurrentChoice
from lightrec.users.user_model import UserModel

PARTS = plugins.discover([]).parts
BIG = {*PARTS["encoders"], *PARTS["evaluators"]}
"""Parts that ``plugins check lightrec`` builds at full size."""


def recurrent():
    """A user model of the other class, whose history knows declined slates."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = RecurrentChoice(tiny.NUM_ITEMS, tiny.VECTOR_SIZE, 5, leave_rate=0.3)
        model.set_items(torch.randn(tiny.NUM_ITEMS + 1, tiny.VECTOR_SIZE))
    return UserModel([model]).eval()


def simulator(batch_size, **settings):
    settings = {"leave_rate": 0.3, "max_steps": 6, "history_length": 5, **settings}
    model = settings.pop("user_model", tiny.tiny_user_model)()
    return UserModelSimulator(model, tiny.tiny_starts(), batch_size, **settings)


def knowing_policy():
    """A learned policy that also asks a user model."""
    ranker = Ranker(tiny.NUM_ITEMS, size=8).eval()
    policy = CandidatePolicy(ranker, tiny.tiny_choice_model(), size=4)
    for parameter in policy.query_network.parameters():
        torch.nn.init.normal_(parameter)
    policy.utility_weight.data.fill_(0.5)
    return policy


def combined_reward():
    """Rewards within rewards."""
    return WeightedSum([LearnedReward(), EngagementReward()], [1.0, -0.5])


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTREC_CACHE", str(tmp_path_factory.mktemp("cache")))
        # How well a world's people know what follows is none of the contract's business.
        patch.setitem(FarLaws.__init__.__kwdefaults__, "fit_steps", 20)
        yield


@parametrize_checks(
    c for c in plugin_checks("lightrec") if c.part not in BIG or c.name == "described"
)
def test_as_a_plugin(check):
    check()


@pytest.mark.parametrize("cache", [False, True])
def test_text_encoder(cache, lightrec_tiny_encoder):
    make = partial(TextEncoder, lightrec_tiny_encoder.model, cache=cache, device="cpu")
    check_all(c for c in EncoderChecks(make) if not (cache and c.name == "another process"))


def quick(*arguments):
    """All checks of a simulator but the slowest one."""
    return [check for check in SimulatorChecks(*arguments) if check.name != "compiles"]


@parametrize_checks(
    quick(simulator, "slates-of-1"),
    quick(partial(simulator, slate_size=3), "slates-of-3"),
    quick(partial(simulator, slate_size=2, repeats=True), "repeats"),
    quick(partial(simulator, ending="fixed", expected=True), "fixed"),
    SimulatorChecks(partial(simulator, user_model=recurrent, slate_size=2), "recurrent"),
    PolicyChecks(knowing_policy, "CandidatePolicy-with-user-model"),
    RewardChecks(combined_reward, part="rewards-within-rewards"),
)
def test_in_other_settings(check):
    check()


@pytest.mark.parametrize(
    "make",
    [partial(HeldOutLog, 40), partial(SimulatedSessions, 1, 10, 2, 4)],
    ids=["HeldOutLog", "SimulatedSessions"],
)
def test_evaluators(make, tiny_run):
    check_all(EvaluatorChecks(make, tiny_run))
