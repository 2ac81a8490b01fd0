"""The contracts of what runs are made of: the modules of stages, and commands."""

import contextlib
import inspect
import io
import logging
import shlex
import tempfile
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lightrec.cli.command import documented, parser_of, summary
from lightrec.errors import LightrecError
from lightrec.nn.stage import LAST, StageModule
from lightrec.stages.callbacks import EpochSeed
from lightrec_testing.contract import DoesNotApply, Faults, promise
from lightrec_testing.invariants import SEED, Checks, differences


class StageChecks(Checks):
    """The checks of the module that trains a stage, in epochs of two batches.

    :param make: makes a fresh module and its data module, the same each time.
    """

    sample = "make"

    def fitted(
        self, epochs: int = 1, folder: str = "", precision: Any = "32-true"
    ) -> tuple[StageModule, pl.Trainer]:
        """Train a fresh module, under one seed.

        :param folder: keeps a checkpoint of each epoch; from that of the first, training continues.
        """
        torch.manual_seed(SEED)
        module, data = self.make()
        first = Path(folder, "epoch=0.ckpt")
        keeping = [ModelCheckpoint(folder, "{epoch}", save_top_k=-1)] if folder else []
        logging.getLogger("lightning.pytorch").setLevel("WARNING")
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            precision=precision,
            max_epochs=epochs,
            limit_train_batches=2,
            limit_val_batches=2,
            num_sanity_val_steps=0,
            callbacks=[EpochSeed(0), *keeping],
            enable_checkpointing=bool(folder),
            enable_model_summary=False,
            enable_progress_bar=False,
            logger=False,
        )
        start = str(first) if folder and first.exists() else None
        trainer.fit(module, data, ckpt_path=start, weights_only=True)
        return module, trainer

    @promise("Draw from torch's global generator, and go through nothing without an order.")
    def same_seed(self) -> Faults:
        """Trained twice under one seed, a module has the same weights to the bit."""
        one, other = (self.fitted()[0].state_dict() for _ in range(2))
        yield from differences(one, other, exact=True)

    @promise(
        "Return the loss from `training_step`, or step on the optimizer there, and compute what "
        "bfloat16 cannot under `torch.autocast(..., enabled=False)`."
    )
    def learns(self) -> Faults:
        """Training changes the weights, which stay finite, in float32 and in bfloat16."""
        torch.manual_seed(SEED)
        before = self.make()[0].state_dict()
        for precision in ("32-true", "bf16-mixed"):
            after = self.fitted(precision=precision)[0].state_dict()
            if after.keys() == before.keys() and not any(differences(before, after, exact=True)):
                yield f"After two batches in {precision} all weights are as they were."
            for name, value in after.items():
                if value.isnan().any():
                    yield f"After two batches in {precision} {name} holds NaN."

    @promise(
        "Keep what training continues from in parameters, buffers or `on_save_checkpoint`, take "
        "plain arguments, draw what the beginning draws before the first epoch, and give a "
        "DataLoader a `generator` of its own, or it draws from torch's at another point."
    )
    def resumed(self) -> Faults:
        """Stopped after an epoch and resumed, training ends as unbroken, to the bit."""
        with tempfile.TemporaryDirectory() as folder:
            whole, later = (self.fitted(2, folder)[0].state_dict() for _ in range(2))
        yield from differences(whole, later, exact=True)

    @promise(f"Log it in `validation_step`, or write `monitor = {LAST!r}` to keep the last epoch.")
    def monitored(self) -> Faults:
        """The metric that `monitor` names is logged and finite, and `mode` is `min` or `max`."""
        module, trainer = self.fitted()
        if module.monitor == LAST:
            raise DoesNotApply("It keeps its last epoch, whatever the metrics.")
        value = trainer.callback_metrics.get(module.monitor)
        if value is None or not value.isfinite() or module.mode not in ("min", "max"):
            logged = ", ".join(trainer.callback_metrics) or "nothing"
            yield f"`{module.monitor}` ({module.mode}) is {value}; logged is {logged}."

    @promise("Save the part with `save_pretrained(folder)`, and turn tensors into numbers.")
    def written(self) -> Faults:
        """`write` leaves files, and gives finite numbers by flat keys without blanks."""
        module, _ = self.fitted()
        with tempfile.TemporaryDirectory() as folder:
            metrics = module.eval().write(Path(folder))
            if not any(Path(folder).iterdir()):
                yield "It leaves nothing."
        for key, value in metrics.items():
            if " " in key or not isinstance(value, int | float) or value != value:
                yield f"It gives {key!r}: {value!r}."


class CommandChecks(Checks):
    """The checks of a command.

    :param make: its function.
    :param part: its name on the line, such as ``data check``.
    """

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """Those of the function."""
        return list(inspect.signature(self.make, eval_str=True).parameters.values())

    @promise("Annotate each with str, int, float, bool, Path, a Literal, a list or a mapping.")
    def parser(self) -> Faults:
        """Every parameter has a type, of which a parser can be made; none is `**options`."""
        for parameter in self.parameters:
            if parameter.annotation is parameter.empty:
                yield f"{parameter.name} has no type."
            if parameter.kind is parameter.VAR_KEYWORD:
                yield f"There is **{parameter.name}."
        parser_of(self.make, self.part).format_help()

    @promise("Write `:param NAME: …` for each of them.")
    def options_described(self) -> Faults:
        """The docstring says of each parameter what it is."""
        described = documented(self.make)[1]
        for parameter in self.parameters:
            # Some have their help in their types, and further words are somebody else's.
            elsewhere = get_origin(parameter.annotation) is Annotated
            elsewhere |= parameter.kind is parameter.VAR_POSITIONAL
            if not (parameter.name in described or elsewhere):
                yield f"It says nothing of {parameter.name}."

    @promise("Begin the docstring with a sentence on one line, and define the command by `def`.")
    def first_line(self) -> Faults:
        """`lightrec --help` finds the docstring's first line in the file, without an import."""
        line = summary(f"{self.make.__module__}:{self.make.__name__}")
        if not line.endswith("."):
            yield f"It finds {line!r}."

    @promise("Write `example:`, and under it a line `  lightrec COMMAND …` as it is typed.")
    def examples(self) -> Faults:
        """The docstring has an example, and all of its examples can be parsed."""
        text, start = documented(self.make)[0], f"lightrec {self.part}"
        lines = [line.strip() for line in text.splitlines() if line.strip().startswith(start)]
        if not lines:
            yield f"No line begins with `{start}`."
        rest = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in self.parameters)
        for line in lines:
            said, words = io.StringIO(), shlex.split(line.removeprefix(start), comments=True)
            words = [*takewhile(lambda word: word not in (">", "|", "&&"), words)]
            try:
                with contextlib.redirect_stderr(said):
                    _, others = parser_of(self.make, self.part).parse_known_args(words)
            except (SystemExit, LightrecError) as error:
                yield f"`{line}`: {said.getvalue().strip().split('error: ')[-1] or error}."
            else:
                if others and not rest:
                    yield f"`{line}`: there is no {' '.join(others)}."

    @promise("Let a flag be False, and a Literal's default be one of its choices.")
    def defaults(self) -> Faults:
        """A flag is off by default, and a default is among the choices that are named."""
        for parameter in self.parameters:
            kind, default = parameter.annotation, parameter.default
            choices = get_args(kind) if get_origin(kind) is Literal else ()
            choices = (False,) if kind is bool else choices
            if choices and default is not parameter.empty and default not in choices:
                yield f"{parameter.name} is {default!r} by default."
