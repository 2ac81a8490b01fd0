"""Small trainings of policies on carts with poles, by rewards that learn from demonstrations."""

from benchmarks.measure.carts import CartPoleData
from tests.learners.training import fit

POLICY = {"pools": 0, "size": 0, "hidden": [64, 64], "horizon": 1_000_000}
SMALL = {"policy": POLICY | {"hidden": [8]}, "sessions": 4, "steps": 8, "batch_size": 32}


def carts(**settings):
    chosen = {"judging": 4, "iterations": 2, "demonstration_sessions": 4, **settings}
    return CartPoleData(**{"max_steps": 20, **chosen})


def small(kind, reward, data=None, epochs=1, folder=None, checkpoint=None, **settings):
    chosen = SMALL | settings
    module, trainer = fit(
        data or carts(), kind, epochs, folder, checkpoint, reward=reward, **chosen
    )
    module.log = lambda *_, **__: None  # tests take steps outside of the training
    return module, trainer
