"""Policies learned from a log: what the log holds, who improves on it, and resuming."""

import json
import os
import signal

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightrec_worlds.greed import Greed

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.offline import OfflinePolicyModule
from lightrec.learners.transitions import PACKED, SLATE, unpack
from lightrec.learners.world_data import WorldData
from lightrec.nn.part import WEIGHTS
from lightrec.policies.base import Policy
from lightrec.policies.tower import TowerPolicy
from lightrec.stages import recipes
from lightrec.stages import train as training
from lightrec.stages.stage import Stage
from tests.learners.arms import BEST, ArmsData
from tests.learners.stages import OFFLINE
from tests.learners.training import fit, resumed
from tests.processes import SERVER

OFFERS = {"num_items": 20, "offer_size": 5, "time_budget": 6, "max_steps": 6}
SMALL = {"updates": 2, "batch_size": 32}
TOWER = {"pools": 1, "size": 2, "hidden": [8]}
SINGLE = [loss for loss in OFFLINE if OFFLINE[loss].values_single_items]
WHOLE = ("bc", "reward-weighted", "return-conditioned")
OWN = {"sa2c": {"warm_up": 4}, "reinforce-top-k": {"top_k": 2}}
"""Settings of losses."""
FIT = {"updates": 40, "batch_size": 128, "learning_rate": 0.02, "tau": 0.1}


def world_data(world="Greed", settings=None, **more):
    return WorldData(world, settings, **{"iterations": 3, "judging": 4, "behavior": {}, **more})


class LoggedArms(ArmsData):
    """Sessions of one step, of which there is a log."""

    appeal = torch.linspace(-1, 1, 9)

    def __init__(self, behavior):
        super().__init__()
        self.behavior, self.logged_sessions, self.seed = behavior, 1500, 0

    def make(self, sessions, device="cpu"):
        world = super().make(sessions, device)
        world.appeal = self.appeal
        return world


@pytest.mark.parametrize("loss", [loss for loss in OFFLINE if loss not in ("bc", "snqn")])
def test_every_learner_finds_the_best_arm_in_a_log_of_random_ones(loss):
    policy = {"size": 0, "hidden": [8]}
    settings = {"warm_up": 100} if loss == "sa2c" else OWN.get(loss)
    how = {"loss": loss, "loss_settings": settings, "policy": policy, **FIT}
    _, trainer = fit(LoggedArms({}), OfflinePolicyModule, 2, **how)
    assert trainer.callback_metrics["validation/return"] == pytest.approx(BEST)


def test_cloning_finds_the_law_of_the_log():
    data = LoggedArms({"appeal": 1.0})
    settings = {**FIT, "batch_size": 1024, "final_rate": 0.05}
    policy = {"size": 0, "hidden": [8]}
    module, _ = fit(data, OfflinePolicyModule, 3, loss="bc", policy=policy, **settings)
    rows = module.transitions
    counts = torch.bincount(rows[SLATE].flatten(), minlength=9)[1:]
    with torch.no_grad():
        law = module.policy.columns(module._whole(rows[:1])).logits.softmax(-1)[0, 1:]
    torch.testing.assert_close(law, counts / counts.sum(), atol=0.015, rtol=0)
    known = data.appeal[1:].log_softmax(0)[rows[SLATE].flatten() - 1]
    torch.testing.assert_close(rows[Key.LOG_PROBABILITY], known)


@pytest.mark.parametrize("loss", OFFLINE)
def test_a_resumed_run_goes_on_as_an_unbroken_one(loss, tmp_path):
    data = world_data("LongTermSatisfaction", dict(OFFERS), logged_sessions=30)
    settings = {"loss": loss, "policy": TOWER, "loss_settings": OWN.get(loss), **SMALL}
    settings["n_step"] = 6 if loss == "return-conditioned" else 1
    whole, later = resumed(lambda *how: fit(data, OfflinePolicyModule, *how, **settings), tmp_path)
    for name, value in whole.learner.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, later.learner.state_dict()[name]), name


@pytest.mark.parametrize(("seed", "same"), [(3, True), (4, False)])
def test_a_log_follows_from_its_seed(seed, same):
    data = world_data(logged_sessions=5, seed=3)
    state = torch.random.get_rng_state()
    rows, again = data.log(), world_data(logged_sessions=5, seed=seed).log()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (rows.shape == again.shape and bool((rows == again).all())) == same


def test_a_log_holds_whole_sessions_and_exact_propensities():
    weights = {"greedy": 0.5, "quality": 2.0}
    rows = world_data(behavior=weights, logged_sessions=5, settings={"max_steps": 8}).log()
    following, world = rows["next"], Greed(1)
    last = following["done"].squeeze(1)
    # Each session is whole: it begins with step 0, and the next one's follows its end.
    assert int(last.sum()) == 5
    assert last[-1]
    first = torch.cat([torch.ones(1, dtype=torch.bool), last[:-1]])
    assert torch.equal(rows[Key.STEP].squeeze(1) == 0, first)
    assert (following["terminated"] != following["done"]).any()
    seen, after = rows[Key.OBSERVATION], following[Key.OBSERVATION]
    assert torch.equal(seen[1:][~last[:-1]], after[:-1][~last[:-1]])
    # The law by hand, from what policies see.
    liked, sated = seen[:, :16] @ world.direction.T, seen[:, 16:32] @ world.direction.T
    attraction = 4 * liked + 1.5 * world.bait - 2 - 3 * sated.clamp_min(0)
    logits = 0.5 * attraction + 2.0 * world.quality
    allowed = unpack(rows[PACKED], world.num_items + 1)
    law = logits.masked_fill(~allowed, -torch.inf).log_softmax(1)
    expected = law.gather(1, rows[Key.ACTION]).squeeze(1)
    torch.testing.assert_close(rows[Key.LOG_PROBABILITY], expected)
    assert Key.LATENT not in rows.keys()  # noqa: SIM118


def test_transitions_over_several_steps_end_with_their_session():
    data = world_data(logged_sessions=6, settings={"max_steps": 4}, seed=1)
    settings = {"loss": "bc", "policy": {"size": 2, "hidden": [8]}, **SMALL}
    module, _ = fit(data, OfflinePolicyModule, 0, n_step=40, discount=0.5, **settings)
    log, rows = data.log(), module.transitions
    reward, done = log["next", "reward"].squeeze(1), log["next", "done"].squeeze(1)
    total, later = torch.zeros(len(log)), 0.0
    for step in reversed(range(len(log))):
        later = reward[step] + (0.0 if done[step] else 0.5 * later)
        total[step] = later
    torch.testing.assert_close(rows["next", "reward"].squeeze(1), total)
    assert rows["next", "done"].all()
    assert torch.equal(rows["next", "terminated"][done], log["next", "terminated"][done])


def test_a_saved_policy_can_make_the_log(tmp_path):
    torch.manual_seed(0)
    policy = TowerPolicy(1000, 18, observation_size=35).set_items(Greed(1).item_vectors)
    torch.nn.init.normal_(policy.query_network[-1].weight, std=0.1)
    policy.save_pretrained(tmp_path)
    rows = world_data(behavior=str(tmp_path), logged_sessions=3).log()
    rows[Key.MASK] = unpack(rows[PACKED], 1001)
    with torch.no_grad():
        known = Policy.load(tmp_path).distribution(rows.to_dict()).log_prob(rows[Key.ACTION])
    torch.testing.assert_close(rows[Key.LOG_PROBABILITY], known)


def test_the_last_epoch_is_kept_whatever_its_true_return(tmp_path):
    kind = OfflinePolicyModule
    kept = ModelCheckpoint(tmp_path, "{epoch}", monitor=kind.monitor, mode=kind.mode)
    data, returns = world_data(logged_sessions=5), iter([3.0, 2.0, 1.0])

    class Falling(kind):
        def judge(self):
            return {"validation/return": next(returns)}

    module = Falling(data.num_items, data.vector_size, loss="bc", **SMALL)
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        callbacks=[kept],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch=2.ckpt"]


@pytest.mark.parametrize("loss", SINGLE)
def test_slates_are_refused_where_single_items_are_valued(loss):
    data = world_data(settings={"slate_size": 2}, logged_sessions=2)
    with pytest.raises(RecipeError, match=r"values single items, and the slates have 2 places"):
        fit(data, OfflinePolicyModule, 1, loss=loss, **SMALL)
    assert set(OFFLINE) == {*SINGLE, *WHOLE}


@pytest.mark.parametrize("loss", WHOLE)
def test_whole_slates_are_learned(loss):
    data = world_data(settings={"slate_size": 2}, logged_sessions=10)
    steps = 40 if loss == "return-conditioned" else 1
    _, trainer = fit(data, OfflinePolicyModule, 1, loss=loss, n_step=steps, **SMALL)
    assert trainer.callback_metrics["train/loss_actor"].isfinite()


def test_an_item_counts_by_what_it_adds_to_the_items_shown_at_once():
    """λ_3 = 3 (1 - π)² of a policy that draws one of eight evenly; with 1 it is 1."""
    policy, size = {"size": 0, "hidden": [8]}, []
    for top_k in (1, 3):
        how = {"loss_settings": {"top_k": top_k}, "policy": policy, "learning_rate": 0.0}
        module, _ = fit(LoggedArms({}), OfflinePolicyModule, 1, loss="reinforce-top-k", **how)
        with torch.no_grad():
            rows = module._whole(module.transitions[:100])
            assert module.policy.columns(rows).logits[:, 1:].std() < 1e-6
            size.append(float(module.learner.losses(rows)["loss_actor"]))
    assert size[1] / size[0] == pytest.approx(3 * (1 - 1 / 8) ** 2)
    with pytest.raises(RecipeError, match=r"top_k is None\. Name under loss_settings how many"):
        fit(LoggedArms({}), OfflinePolicyModule, 1, loss="reinforce-top-k")


def test_a_return_goes_to_the_end_of_a_session_or_is_refused():
    data = world_data("LongTermSatisfaction", dict(OFFERS), logged_sessions=5)
    with pytest.raises(RecipeError, match=r"n_step is 5, in which .* have at most: 6"):
        fit(data, OfflinePolicyModule, 1, loss="return-conditioned", n_step=5, **SMALL)


def test_what_is_missing_is_told():
    with pytest.raises(RecipeError, match=r"learned from a log, and WorldData has none"):
        fit(world_data(behavior=None), OfflinePolicyModule, 1, **SMALL)
    with pytest.raises(RecipeError, match=r"gives 'charm' a weight, and Greed does not score"):
        world_data(behavior={"charm": 1.0}).log()


def trained(loss, folder, killed):
    """Train three epochs by the recipe on one thread, in a process that may die in the second."""

    class Death(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.current_epoch == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    recipe = recipes.find("worlds/offline")[1]
    recipe["data"]["init_args"] |= {
        "world": "LongTermSatisfaction",
        "settings": dict(OFFERS),
        "behavior": {},
        "logged_sessions": 30,
        "iterations": 2,
        "judging": 4,
    }
    own = ["--model.init_args.loss", loss, "--trainer.max_epochs", "3"]
    own += ["--model.init_args.updates", "2", "--model.init_args.batch_size", "32"]
    if loss in OWN:
        own += ["--model.init_args.loss_settings", json.dumps(OWN[loss])]
    training.train(Stage("policy", recipe, folder / "policy", own), [Death()] * killed)


@pytest.mark.parametrize("loss", OFFLINE)
def test_who_is_killed_comes_to_the_same_end(loss, tmp_path):
    whole, resumed_at = tmp_path / "whole", tmp_path / "killed"
    for folder, killed in ((whole, False), (resumed_at, True), (resumed_at, False)):
        process = SERVER.Process(target=trained, args=(loss, folder, killed))
        process.start()
        process.join(120)
        assert process.exitcode == (-signal.SIGKILL if killed else 0)
        assert (folder / "policy" / WEIGHTS).is_file() != killed
        if killed:  # the first epoch is kept
            assert [*folder.rglob("last.ckpt")]
    found = [(folder / "policy" / WEIGHTS).read_bytes() for folder in (whole, resumed_at)]
    assert found[0] == found[1]
