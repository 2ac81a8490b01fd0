"""What every stage that is trained keeps: precision, one device, and resuming to the bit.

Learners of packages keep the contract of learners; lightrec's own are tried with its parts.
"""

import lightning.pytorch as pl
import pytest
import torch
from lightrec_testing import LearnerChecks, parametrize_checks

from tests.learners.stages import FAMILIES, STAGES, WORLDS, make
from tests.learners.training import FIRST, OFFLINE, ON_POLICY, REPLAY, one_a_family, resumed, train
from tests.processes import apart

LEARNERS = {**REPLAY, **ON_POLICY, **{f"{name} from a log": kind for name, kind in OFFLINE.items()}}
LEARNERS = {n: k for n, k in LEARNERS.items() if not k.__module__.startswith("lightrec.")}


@parametrize_checks(*(LearnerChecks(kind, name) for name, kind in LEARNERS.items()))
def test_contract(check):
    check()


def fitted(name, folder, accelerator="cpu", **settings):
    """Train a stage for one iteration, or batch, and give module and trainer."""
    limits = {"limit_train_batches": 1, "limit_val_batches": 1, "accelerator": accelerator}
    return train(*make(name, folder), 1, devices=1, **limits, **settings)


class Gradients(pl.Callback):
    """Keeps the gradients of the first optimizer step."""

    first = None

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if self.first is None:
            parameters = module.named_parameters()
            self.first = {n: p.grad.clone() for n, p in parameters if p.grad is not None}


@pytest.mark.parametrize("name", one_a_family(STAGES, *FAMILIES))
def test_a_step_in_mixed_precision_is_that_of_float32(bandit, name):
    sides, metrics = [], []
    for precision in ("32-true", "bf16-mixed"):
        step = Gradients()
        _, trainer = fitted(name, bandit, precision=precision, callbacks=[step])
        sides.append(step.first)
        metrics.append(trainer.callback_metrics)
    assert sides[0].keys() == sides[1].keys()
    assert metrics[0].keys() == metrics[1].keys()
    assert all(value.isfinite().all() for value in metrics[1].values())
    flat = [torch.cat([g.flatten() for g in side.values()]).double() for side in sides]
    assert torch.cosine_similarity(*flat, dim=0) > 0.99
    assert float(flat[1].norm()) == pytest.approx(float(flat[0].norm()), rel=0.05)


def test_judging_is_as_fine_in_mixed_precision(bandit):
    module, _ = fitted("policy ppo", bandit)
    module.log, types = lambda *_, **__: None, set()
    for layer in module.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(lambda _, __, out: types.add(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        module.validation_step(None, 0)
    assert types == {torch.float32}


@pytest.mark.parametrize("name", one_a_family(STAGES, "ranking CausalTransformer", *FAMILIES[1:]))
def test_a_resumed_run_goes_on_as_an_unbroken_one(bandit, name, tmp_path):
    """What a learner and a reward have of their own is kept too; a checkpoint suffices."""
    whole, later = resumed(lambda *how: train(*make(name, bandit), *how), tmp_path)
    if hasattr(whole, "policy"):
        for key, value in whole.learner.state_dict().items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, later.learner.state_dict()[key]), key
    if hasattr(whole, "buffer"):
        assert torch.equal(whole.buffer[:]["action"], later.buffer[:]["action"])
    loaded = type(whole).load_from_checkpoint(tmp_path / FIRST, weights_only=True)
    assert loaded.state_dict().keys() == whole.state_dict().keys()


def look(folder, names):
    # Who imports it has a second device.
    from tests.learners import on_second_device

    return on_second_device.look(folder, names)


@pytest.fixture(scope="module")
def wrong(bandit):
    """What went wrong, by name; one process for all, as it must know the device from its start."""
    return apart(look, (bandit, [*WORLDS, *STAGES]))[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WORLDS, *STAGES])
def test_all_is_computed_on_one_device(wrong, name):
    assert wrong[name] == ""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_trains_and_is_written_on_a_gpu(bandit, tmp_path, name, precision):
    module, _ = fitted(name, bandit, "gpu", precision=precision)
    if hasattr(module, "write"):
        assert all(value == value for value in module.write(tmp_path).values())
