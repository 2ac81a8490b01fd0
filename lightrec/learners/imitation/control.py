"""A learner beside the same learner without demonstrations: what its rewards' sign alone brings."""

from collections.abc import Callable

import lightning.pytorch as pl

from lightrec.learners.imitation.data import ImitationData
from lightrec.learners.imitation.module import ImitationModule


def fit_beside_control(
    data: ImitationData,
    make_module: Callable[[], ImitationModule],
    make_trainer: Callable[[], pl.Trainer],
    seed: int = 0,
) -> dict[str, float]:
    """Train twice, with the demonstrations and without, and print both.

    Without demonstrations a learner is shown random sessions in their place. If it still reaches a
    high return, sessions end by themselves and the form of the rewards pays for staying: its
    success with demonstrations proves nothing (Kostrikov et al. 2019).

    :param make_module: called for either, after seeding.
    :param make_trainer: called for either.
    :param seed: of everything.
    :returns: ``return`` and ``length``, and the same of ``control/``.
    """
    found: dict[str, float] = {}
    for prefix, part in (("", data), ("control/", data.but_control())):
        pl.seed_everything(seed, verbose=False)
        module = make_module()
        make_trainer().fit(module, datamodule=part)
        found |= {f"{prefix}{name}": value for name, value in module.judge().items()}
        what = "without demonstrations" if prefix else "with demonstrations"
        print(
            f"{module.hparams['learner']} {what}: return {found[f'{prefix}return']:.1f}, "
            f"length {found[f'{prefix}length']:.1f}"
        )
    return found
