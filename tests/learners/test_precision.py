"""Every stage trains in mixed precision, and moves its weights as it does in float32."""

import lightning.pytorch as pl
import pytest
import torch

from tests.learners.stages import STAGES, make


class Gradients(pl.Callback):
    """Keeps the gradients of the first optimizer step."""

    def __init__(self):
        self.found = None

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if self.found is None:
            parameters = module.named_parameters()
            self.found = {n: p.grad.clone() for n, p in parameters if p.grad is not None}


def trained(name, folder, **settings):
    """Train a stage for one iteration, or batch, and give module and trainer."""
    module, data = make(name, folder)
    trainer = pl.Trainer(
        max_epochs=1,
        limit_train_batches=1,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    torch.manual_seed(1)
    trainer.fit(module, data)
    return module, trainer


def step(name, folder, precision):
    kept = Gradients()
    _, trainer = trained(name, folder, precision=precision, callbacks=[kept])
    metrics = {n: float(v) for n, v in trainer.callback_metrics.items()}
    return kept.found, metrics


@pytest.mark.parametrize("name", STAGES)
def test_a_step_in_mixed_precision_is_that_of_float32(bandit, name):
    exact, expected = step(name, bandit, "32-true")
    rough, found = step(name, bandit, "bf16-mixed")
    assert exact.keys() == rough.keys()
    assert found.keys() == expected.keys()
    assert all(value == value for value in found.values())
    flat = [torch.cat([g.flatten() for g in side.values()]).double() for side in (exact, rough)]
    assert torch.cosine_similarity(*flat, dim=0) > 0.99
    assert float(flat[1].norm()) == pytest.approx(float(flat[0].norm()), rel=0.05)


@pytest.mark.parametrize("name", ["policy ppo", "replay dqn", "imitation GAIL"])
def test_judging_is_as_fine_in_mixed_precision(bandit, name):
    module, _ = trained(name, bandit)
    module.log = lambda *_, **__: None
    types = set()
    for layer in module.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(lambda _, __, found: types.add(found.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        module.validation_step(None, 0)
    assert types == {torch.float32}
