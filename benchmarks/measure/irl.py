"""A learner of rewards on a log of the world `far`, beside the truth."""

import math
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import torch
from lightrec_audit.truth import KnownTruth, spearman_within_sets
from safetensors.torch import save_file
from torch import nn

from benchmarks.measure import Cell
from benchmarks.peers.protocol import TRAINER
from lightrec.data.domain import Domain
from lightrec.data.prepare import prepare
from lightrec.keys import Column
from lightrec.simulators.worlds.far import Far
from lightrec.simulators.worlds.far_log import FarLog, HeldOut
from lightrec.users.choice_data import ITEMS, ChoiceData
from lightrec.users.choice_model import PooledChoice
from lightrec.users.irl import MaxEnt, RewardLearner, RewardModel
from lightrec.users.module import ChoiceModule
from lightrec.users.user_model import UserModel

MODEL = {"feature_size": 32, "hidden_size": 64, "identity_size": 0}
TRAINING = {"learning_rate": 2e-3, "weight_decay": 1e-4}
BATCH, JUDGED = 512, 4000
DISCOUNT = 0.9
LEARNERS: dict[str, tuple[RewardLearner | None, float] | None] = {
    "popularity": None,
    "supervised": None,
    "cloning": (MaxEnt(anchored=False), 0.0),
    "logit": (None, 0.0),
    "two-step": (None, DISCOUNT),
    "maxent": (MaxEnt(), DISCOUNT),
    "maxent-free-nothing": (MaxEnt(anchored=False), DISCOUNT),
}
"""Learner, null for what is read off the choice model, and γ; null for what is no learner."""


class Repeating(Domain):
    """Items may be chosen again and again."""

    repeats = True


def write(folder: Path, world: FarLog, sessions: int, seed: int) -> tuple[HeldOut, HeldOut]:
    """Write a prepared log with the world's item vectors; the truth in new states, and labels."""
    log, catalog = world.log(sessions)
    store = prepare(
        log,
        folder / "data",
        catalog=catalog,
        domain=Repeating(),
        k_core=0,
        new_items=True,
        seed=seed,
    )
    names = store.catalog[Column.ITEM].to_list()
    own = [int(name[5:]) for name in names]
    (folder / "ranker").mkdir()
    vectors = Far(1, laws=world).item_vectors[[0, *own]].contiguous()
    save_file({"vectors": vectors}, folder / "ranker" / ITEMS)
    walk = world.walk(sessions)
    steps = range(world.UNLOGGED, world.SESSION)
    history = torch.stack([walk.choices[:, t - world.LOGGED : t] for t in steps], 1)
    offers, rewards = walk.offers[:, world.UNLOGGED :], walk.rewards[:, world.UNLOGGED :]
    labels = HeldOut(*(x.flatten(0, 1) for x in (history, offers, rewards, rewards)))
    return world.held_out(JUDGED).reindex(names), labels.reindex(names)


def supervise(data: ChoiceData, labels: HeldOut, epochs: int, seed: int) -> RewardModel:
    """Fit the network of all learners to the true rewards of the training states."""
    torch.manual_seed(seed)
    model = PooledChoice(data.num_items, data.vector_size, data.history_length, **MODEL)
    model.set_items(data.vectors)
    rows, generator = len(labels.history), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), TRAINING["learning_rate"], weight_decay=TRAINING["weight_decay"]
    )
    steps = epochs * -(-rows // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1, 10 * (step + 1) / steps) * (1 + math.cos(math.pi * step / steps)) / 2,
    )
    for _ in range(epochs):
        for batch in torch.randperm(rows, generator=generator).split(BATCH):
            found = model.utilities(model.state(labels.history[batch]), labels.candidates[batch])
            error = (found - labels.reward[batch]).square().mean() / 2
            loss = error + model.bias.square().sum() / (2 * rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return RewardModel(model.eval())


def learn(
    data: ChoiceData, learner: RewardLearner | None, discount: float, epochs: int, seed: int
) -> tuple[nn.Module, dict[str, float]]:
    """Train the module of the stage users_a as a recipe would."""
    torch.manual_seed(seed)
    module = ChoiceModule(
        data.num_items,
        data.vector_size,
        discount=discount,
        leave_rate=0.0,
        learner=learner,
        use_popularity=False,
        model=partial(PooledChoice, **MODEL),
        **TRAINING,
    )
    trainer = pl.Trainer(max_epochs=epochs, gradient_clip_val=1.0, **TRAINER)
    trainer.fit(module, data)
    kept = f"validation/{'' if learner is None else 'learner/'}log_likelihood"
    metrics = {"log_likelihood": float(trainer.callback_metrics[kept])}
    with tempfile.TemporaryDirectory() as folder:
        module.write(Path(folder))
        return UserModel.load(folder), metrics


@torch.inference_mode()
def judge(model: Any, truth: HeldOut) -> dict[str, float]:
    """Order within offers, and the true reward of what the learned one likes best."""
    found = model.reward(truth.history, truth.candidates)
    best = found.argmax(1, keepdim=True)
    return {
        "spearman": spearman_within_sets(found, truth.reward),
        "greedy": float(truth.reward.gather(1, best).mean()),
    }


def measure(cell: Cell) -> dict[str, float]:
    """Write the log, learn, and judge in states of new people.

    In the world ``myopic`` people choose by the reward and do not look ahead.
    """
    folder, seed, epochs = cell.out, cell.seed, cell["epochs"]
    world = FarLog(seed, discount=0.0) if cell["world"] == "myopic" else FarLog(seed)
    truth, labels = write(folder, world, cell["sessions"], seed)
    ranker = str(folder / "ranker")
    data = ChoiceData(
        str(folder / "data"), ranker=ranker, batch_size=BATCH, max_train=None, seed=seed
    )
    way, metrics = LEARNERS[cell["learner"]], {}
    if way is not None:
        model, metrics = learn(data, *way, epochs, seed)
    elif cell["learner"] == "supervised":
        model = supervise(data, labels, epochs, seed)
    else:
        # How often an item was chosen, taken for a reward.
        model = SimpleNamespace(reward=lambda history, items: data.log_popularity[items])
    return metrics | judge(model, truth)


def far(cell: Cell) -> dict[str, float]:
    """The reward that a run learns in the world `far`, beside the truth."""
    run = cell.run("generic", "--offline", "--until", "users_a", *cell.options)
    metrics = dict(KnownTruth().evaluate(run, cell.seed).metrics)
    gain = metrics["truth/learned/spearman"] - metrics["truth/logit/spearman"]
    return metrics | {"truth/gain": gain}
