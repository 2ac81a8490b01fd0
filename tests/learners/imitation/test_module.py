import lightning.pytorch as pl
import pytest
import torch

from lightrec.errors import DataError, RecipeError
from lightrec.keys import Key
from lightrec.learners.imitation.control import fit_beside_control
from lightrec.learners.imitation.data import ImitationData
from lightrec.learners.imitation.demonstrations import demonstrate
from lightrec.learners.imitation.features import CandidateFeatures, VectorFeatures
from lightrec.learners.imitation.module import ImitationModule
from lightrec.simulators.choice_process import ChoiceProcess
from lightrec.simulators.worlds.cart_pole import CartPole, balance


@pytest.fixture(scope="module")
def data():
    world = CartPole(8)
    world.set_seed(0)
    shown = demonstrate(world, balance, 500)
    features = VectorFeatures(4, 2).fit(shown[Key.OBSERVATION])
    return ImitationData(CartPole, features, shown, judging=8)


def trainer(epochs, **settings):
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        **{"enable_checkpointing": False, **settings},
    )


def test_sqil_learns_from_demonstrations_and_not_without(data, capsys):
    found = fit_beside_control(data, lambda: ImitationModule("sqil"), lambda: trainer(4))
    assert found["return"] > 475
    assert found["control/return"] < 200
    assert "sqil without demonstrations: return" in capsys.readouterr().out


@pytest.mark.parametrize("learner", ["gail", "airl"])
def test_adversarial_updates_move_each_part_by_its_own_losses(data, learner):
    torch.manual_seed(0)
    module = ImitationModule(
        learner, {"passes": 1, "discriminator_updates": 2}, sessions=8, steps=16
    )
    trainer(1).fit(module, datamodule=data)
    rollout = module._play()
    assert rollout.batch_size == (8, 16)
    assert "reward" not in rollout["next"].keys()  # noqa: SIM118
    assert len(set(module.bench.state[Key.STEP].flatten().tolist())) > 4
    moved = []
    for losses in module.learner.updates(rollout, data.demonstrations):
        module.zero_grad()
        sum(v for n, v in losses.items() if n.startswith("loss")).backward()
        reached = {
            n.split(".")[0] for n, p in module.learner.named_parameters() if p.grad is not None
        }
        moved.append(reached)
    assert moved[:2] == [{"discriminator"}] * 2
    assert all(reached == {"actor", "critic"} for reached in moved[2:])
    assert len(moved) == 3


def test_cloning_comes_first_and_then_the_discriminator_alone(data):
    torch.manual_seed(0)
    settings = {"cloning": 300, "warm_up": 1, "passes": 1, "discriminator_updates": 2}
    module = ImitationModule("gail", settings, sessions=4, steps=8, learning_rate=1e-2)
    trainer(1, limit_train_batches=1).fit(module, datamodule=data)
    learner, shown = module.learner, data.demonstrations
    right = (learner.logits(shown).argmax(1) == shown[Key.ACTION].squeeze(1)).float().mean()
    assert right > 0.95
    loss = learner.judged.logit(shown[:4])
    for names in ({"loss_discriminator"}, {"loss_discriminator", "loss_objective"}):
        found = set()
        for losses in learner.updates(module._play(), shown):
            module._update(losses)
            found |= {"loss_discriminator", "loss_objective"} & set(losses)
        assert found == names
        # While the policy waits the discriminator is judged as it is, then as an average.
        now = learner.discriminator.logit(shown[:4])
        assert torch.equal(learner.judged.logit(shown[:4]), now) == (len(names) == 1)
        assert not torch.equal(learner.judged.logit(shown[:4]), loss)


@pytest.mark.parametrize("learner", ["airl", "sqil"])
def test_checkpoints_bring_the_learner_back(data, learner, tmp_path):
    settings = {} if learner == "sqil" else {"passes": 1}
    module = ImitationModule(learner, settings, sessions=4, steps=8)
    fitting = trainer(1)
    fitting.fit(module, datamodule=data)
    fitting.save_checkpoint(tmp_path / "last.ckpt")
    again = ImitationModule.load_from_checkpoint(tmp_path / "last.ckpt")
    state = CartPole(5).reset()
    assert torch.equal(again.learner.logits(state), module.learner.logits(state))
    if learner == "airl":
        batch = data.demonstrations[:5]
        judged = again.learner.judged.reward(batch)
        assert torch.equal(judged, module.learner.judged.reward(batch))


def test_choices_are_imitated_and_what_is_on_offer_has_a_value():
    """People who take one item whenever it is there, and else nothing."""
    torch.manual_seed(0)
    features = CandidateFeatures(6, 2, 3).set_items(torch.randn(7, 2))

    def make(sessions, device="cpu"):
        starts = torch.zeros(1, 3, dtype=torch.int64)
        return ChoiceProcess(6, sessions, starts, offer_size=3, max_steps=10, device=device)

    def choose(state):
        wanted = state[Key.CANDIDATES] == 2
        return torch.where(wanted.any(1), wanted.int().argmax(1), 3).unsqueeze(1)

    shown = demonstrate(make(16), choose, 40)
    choices = ImitationData(make, features, shown, iterations=8)
    settings = {"cloning": 200, "warm_up": 1, "batch_size": 64, "discount": 0.5, "passes": 1}
    judge = {"anchored": True, "discount": 0.5}
    module = ImitationModule("airl", settings, judge, sessions=16, steps=20, learning_rate=1e-2)
    trainer(1).fit(module, datamodule=choices)
    own = demonstrate(make(32), lambda state: module.learner.act(state)[Key.ACTION], 10)
    assert (own[Key.ACTION] == choose(own.flatten()).view(32, 10, 1)).float().mean() > 0.9
    rewards = module.learner.judged.rewards(own)
    assert not rewards[..., 3].any()
    critic = module.learner.critic
    flipped = own.clone().set(Key.CANDIDATES, own[Key.CANDIDATES].flip(-1))
    other = own.clone().set(Key.CANDIDATES, own[Key.CANDIDATES] % 6 + 1)
    values = [critic(x.select(*features.keys))["state_value"] for x in (own, flipped, other)]
    torch.testing.assert_close(values[0], values[1])
    assert not torch.allclose(values[0], values[2])


def test_runs_are_the_same_under_the_same_seed(data):
    logits = []
    for _ in range(2):
        pl.seed_everything(3, verbose=False)
        module = ImitationModule("gail", {"passes": 1}, sessions=4, steps=16)
        trainer(1).fit(module, datamodule=data)
        logits.append(module.learner.logits(data.demonstrations[:9]))
    assert torch.equal(*logits)


def test_the_control_has_as_many_random_steps(data):
    control = data.but_control()
    assert len(control.demonstrations) == len(data.demonstrations) == 4000
    share = control.demonstrations[Key.ACTION].float().mean()
    assert 0.45 < share < 0.55
    assert control.demonstrations[Key.OBSERVATION].abs().max() > 2.4


def test_odd_arguments_are_refused(data):
    with pytest.raises(RecipeError, match="no learner 'gain'"):
        ImitationModule("gain")
    with pytest.raises(RecipeError, match="cannot be built"):
        trainer(1).fit(ImitationModule("airl", {"clap": 1}), datamodule=data)
    with pytest.raises(DataError, match="lack action"):
        ImitationData(CartPole, data.features, data.given.exclude(Key.ACTION))
