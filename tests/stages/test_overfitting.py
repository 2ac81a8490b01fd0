"""What recipes name against overfitting works in a stage, and twice and after a stop alike."""

import pytest
import torch
from lightrec_testing.tiny import FAST
from safetensors.torch import load_file

from lightrec.stages import recipes
from lightrec.stages import train as training
from lightrec.stages.stage import Stage

AVERAGE = "--trainer.callbacks=[{class_path: EMAWeightAveraging, init_args: {decay: 0.9}}]"
# From a random start every epoch is better than the one before, so that the last is kept.
SLOW = ["--model.init_args.start=random", "--model.init_args.item_models=[Popularity]"]


@pytest.fixture(scope="module")
def encoder(tiny_run, tmp_path_factory):
    """The ranker stage over the tiny log with further settings, the stages that it reads done."""

    def make(settings):
        out = tmp_path_factory.mktemp("encoder") / "ranker"
        for name in ("data", "text"):
            (out.parent / name).symlink_to(tiny_run / name)
        recipe = recipes.load("generic").resolved("ranker")
        return Stage("ranker", recipe, out, [*FAST["ranker"], *SLOW, *settings])

    return make


def weights(stage):
    training.train(stage)
    return load_file(stage.out / "model.safetensors")


@pytest.fixture(scope="module")
def plain(encoder):
    """The weights without further settings."""
    return weights(encoder([]))


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "epoch"), [([], 0), ([], 1), ([AVERAGE], 0)])
def test_a_stopped_stage_ends_where_an_unbroken_one_does(
    encoder, plain, monkeypatch, settings, epoch
):
    expected = weights(encoder(settings)) if settings else plain
    broken = encoder(settings)

    def stop(self, trainer, module, outputs, batch, index):
        if trainer.current_epoch == epoch + 1:
            raise SystemExit("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(training.EpochSeed, "on_train_batch_end", stop, raising=False)
        with pytest.raises(SystemExit):
            training.train(broken)
    assert not broken.out.exists()
    assert torch.load(broken.work / "last.ckpt", weights_only=True)["epoch"] == epoch
    resumed = weights(broken)
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())
    assert all(torch.equal(plain[n], value) for n, value in expected.items()) == (not settings)
