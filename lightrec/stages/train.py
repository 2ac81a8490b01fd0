"""Training one stage: LightningCLI on its recipe, resumable at every epoch's end."""

import json
import logging
import os
import shutil
import sys
import time
import warnings
from argparse import SUPPRESS
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any, NoReturn
from unittest import mock

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed

from lightrec import plugins, trust
from lightrec.blame import blaming, provider
from lightrec.data.stage_data import StageData
from lightrec.errors import PluginError, RecipeError
from lightrec.moved import moved
from lightrec.nn.stage import AfterTraining, StageModule
from lightrec.policies.base import Policy
from lightrec.settings import ALL_SETTINGS, CANNOT, misfit, mistake, nested, passed_on
from lightrec.stages import recipes
from lightrec.stages.callbacks import EpochSeed, StageProgress
from lightrec.stages.stage import Stage
from lightrec.stages.strategies import SHARDED, STRATEGIES
from lightrec.stages.tensorboard import flat, write_final
from lightrec.users.halves import overlap

CHECKPOINT = "model.ckpt"
SECONDS = "seconds.json"
"""Seconds that ``training`` and ``stage`` took, in the folder of a stage trained at one go."""


class RecipeParser(LightningArgumentParser):
    """LightningCLI's parser, whose complaints are sentences instead of a page of usage."""

    def add_class_arguments(self, kind: type, *arguments: Any, **how: Any) -> list[str]:
        """Add a class's settings; of a policy, which a run makes, those of its ``from_run``."""
        if not issubclass(kind, Policy):
            return super().add_class_arguments(kind, *arguments, **how)
        added = self.add_method_arguments(kind, "from_run", skip={"run"}, fail_untyped=False)
        passed, others = passed_on(kind)
        if passed:
            added += super().add_class_arguments(kind, skip=others, fail_untyped=False)
        for action in self._actions:  # who makes a policy has defaults of its own
            action.default = SUPPRESS
        return added

    def parse_args(self, args: Sequence[str] | None = None, **how: Any) -> Any:
        """Parse a line, with null for the None that jsonargparse makes of a nested null."""
        if args is not None:
            args = [f"{arg[:-4]}null" if arg.endswith("=None") else arg for arg in args]
        return super().parse_args(args, **how)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what was wrong.

        :raises RecipeError: always.
        """
        raise RecipeError(message) from ex


def trainer_help() -> str:
    """Describe the settings of Lightning's Trainer."""
    parser = RecipeParser(prog="lightrec fit -c RECIPE", usage="%(prog)s [--trainer.SETTING VALUE]")
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    return str(parser.format_help())


class RecipeCLI(LightningCLI):
    """LightningCLI for recipes: a StageModule, a StageData, and the folder that they leave.

    :param arguments: as :func:`arguments` writes them.
    :param stage: what is trained; None where the command line is only parsed.
    :param watchers: callbacks in addition to the stage's and the recipe's own.
    """

    def __init__(
        self,
        arguments: list[str],
        stage: Stage | None,
        command: str,
        watchers: Sequence[Callback] = (),
    ) -> None:
        self.stage, self.watchers = stage, watchers
        parts = plugins.installed().parts["after_training"].values() if stage else ()
        self.additions: list[AfterTraining] = [part.made() for part in parts]
        _quiet()
        arguments = moved(arguments)
        plugins.load_parts(arguments)
        # LightningCLI warns where it is called with arguments in a process that has its own.
        with mock.patch.object(sys, "argv", sys.argv[:1]):
            super().__init__(
                StageModule,
                StageData,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=None,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                parser_class=RecipeParser,
                parser_kwargs={
                    "prog": f"lightrec {command}",
                    # An abbreviation that fits today may mean something else tomorrow.
                    "allow_abbrev": False,
                    "description": f"{command} one stage from its recipe, for example: "
                    f"lightrec {command} -c video/ranker --trainer.max_epochs 5",
                },
                args=arguments,
                run=False,
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the line, or say what is wrong with it.

        :raises RecipeError: where a setting is unknown or impossible, or no seed is stated.
        """
        try:
            super().parse_arguments(parser, args)
        except RecipeError as error:
            kinds = {"model": StageModule, "data": StageData}
            sections = {k: v for k, v in nested(args).items() if k in (*kinds, "trainer")}
            trainer = sections.pop("trainer", None) or {}
            sentences = [misfit(name, value, kinds[name]) for name, value in sections.items()]
            said = next(filter(None, [*sentences, mistake(pl.Trainer, trainer)]), error)
            raise RecipeError(f"{CANNOT} {said}{ALL_SETTINGS}") from error
        # Lightning makes a seed of its own of `true`, so this comes before it.
        if isinstance(seed := self.config["seed_everything"], bool):
            raise RecipeError(
                f"The recipe must state `seed_everything` as a number, not {seed}, so that the "
                "same run can be repeated."
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link sizes from the data to the model, name the folder to leave, have runs twice."""
        parser.add_argument("--out", type=str, help="The folder that the stage leaves.")
        for size in ("num_items", "vector_size", "people", "feedback_kinds"):
            parser.link_arguments(f"data.{size}", f"model.init_args.{size}", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)
        # Two threads that add to one row add in any order, unless torch is asked for one order.
        defaults = {"deterministic": "warn", "enable_model_summary": False}
        defaults |= {"num_sanity_val_steps": 0, "use_distributed_sampler": False}
        parser.set_defaults({f"trainer.{name}": value for name, value in defaults.items()})

    def before_instantiate_classes(self) -> None:
        """See that a run folder's recipe names nothing but classes, and the trainer's settings.

        :raises RunError: where it does.
        :raises RecipeError: naming the first setting of the trainer that a stage cannot follow.
        """
        trust.check_classes(self.config.as_dict())
        trainer = self.config["trainer"]
        for name, good, why in (
            ("use_distributed_sampler", False, "lightrec's own samplers share batches out"),
            ("default_root_dir", None, "a stage works in its run's folder: name that with --out"),
            ("logger", trainer["logger"] or None, "the report shows the stage's curves"),
        ):
            if trainer[name] != good:
                raise RecipeError(f"The setting trainer.{name} cannot be {trainer[name]}: {why}.")

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The trainer the stage's loggers and the callbacks that make it resumable.

        Loggers that are named come after TensorBoard's, whose curves the report shows.
        """
        stage = self.stage
        assert stage is not None
        model, strategy = self.model, self.config["trainer"]["strategy"]
        if isinstance(strategy, str) and strategy in STRATEGIES:
            kwargs["strategy"] = STRATEGIES[strategy]()
        saved: dict[str, Any] = {"dirpath": stage.work, "enable_version_counter": False}
        callbacks = [
            EpochSeed(self.seed),
            *(each.watcher for each in self.additions if each.watcher is not None),
            StageProgress(model.monitor),
            ModelCheckpoint(filename="best", monitor=model.monitor, mode=model.mode, **saved),
            ModelCheckpoint(
                filename="last", save_on_train_epoch_end=True, every_n_epochs=1, **saved
            ),
        ]
        self.trainer_defaults = {"callbacks": [*callbacks, *self.watchers]}
        board = TensorBoardLogger(
            stage.logs.parent, name=stage.logs.name, version="", default_hp_metric=False
        )
        named = self.config_init["trainer"]["logger"]
        more = named if isinstance(named, list) else [named]
        trainer = super().instantiate_trainer(
            logger=[board, *(logger for logger in more if isinstance(logger, Logger))],
            default_root_dir=str(stage.work),
            **kwargs,
        )
        if isinstance(trainer.strategy, SHARDED) and not model.shards:
            held = 4 * sum(each.numel() * each.element_size() for each in model.parameters())
            raise RecipeError(
                f"{type(trainer.strategy).__name__} would save no memory in the stage "
                f"{stage.name}: each step of {type(model).__name__} needs all weights at once. "
                "Set trainer.strategy to ddp, by which each process holds them; with gradients "
                f"and AdamW's moments they take {held / 2**30:.1f} GiB."
            )
        for each in trainer.early_stopping_callbacks if trainer.max_steps > 0 else ():
            each.strict = False  # the last steps may not be an epoch, which would be validated
        return trainer

    @property
    def seed(self) -> int:
        """The recipe's seed."""
        return int(self.config["seed_everything"])

    @property
    def shown_settings(self) -> dict[str, str | float]:
        """Model, data and trainer settings as TensorBoard lists them, without the run's folders."""
        sections = {name: self.config[name].as_dict() for name in ("model", "data", "trainer")}
        inputs = {f"data.{name}" for name in (self.stage.inputs if self.stage else ())}
        shown = {key: value for key, value in flat(sections).items() if key not in inputs}
        return shown | {"seed": self.seed}


class ParsedRecipe(RecipeCLI):
    """A recipe with its settings, checked by the parser; nothing is built of it.

    :param stage: the stage with its recipe.
    :param more: settings that go before the recipe's and the stage's own.
    :raises RecipeError: where a setting is unknown or impossible.
    """

    def __init__(self, stage: Stage, more: Sequence[str] = ()) -> None:
        super().__init__([*arguments(stage), *more], None, "fit")
        data = self.config["data"]
        resolve_name(data["class_path"]).check_settings(data["init_args"])

    def instantiate_classes(self) -> None:
        """Build nothing."""


def check_planned_halves(stages: Sequence[Stage]) -> None:
    """See that the stages users_a and users_b will learn from disjoint halves of the users.

    :param stages: of a run, as planned; nothing is checked unless both are among them.
    :raises RecipeError: where the halves would overlap.
    """
    halves = []
    for stage in stages:
        if stage.name in ("users_a", "users_b"):
            data = ParsedRecipe(stage).config["data"]["init_args"]
            if "half" in data:  # data of another kind may have no halves
                split = data.get("split_seed")
                split = data.get("seed") if split is None else split
                halves.append({"half": data["half"], "split_seed": split})
    if len(halves) == 2 and (sentence := overlap(*halves)):
        raise RecipeError(sentence)


def parts_of(stage: Stage) -> tuple[StageModule, StageData]:
    """Build what a stage's recipe names, as before its training; nothing is trained.

    :raises RecipeError: where a setting is unknown or impossible.
    """
    parsed = ParsedRecipe(stage)
    built = parsed.parser.instantiate_classes(parsed.config)
    return built.model, built.data


def _quiet() -> None:
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=UserWarning, module="torchrl|tensordict")
    for text in (
        ".*does not have many workers.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*logging interval.*",
        ".*resuming from a checkpoint that ended.*",
        ".*GPU available but not used.*",
        ".*LeafSpec.*is deprecated.*",
        ".*in eval mode at the start of training.*",
        ".*across ranks is zero.*",  # the stage text says itself that it has nothing to learn
    ):
        warnings.filterwarnings("ignore", text)


def arguments(stage: Stage) -> list[str]:
    """Write a stage down as LightningCLI's arguments, its inputs taken from its run folder."""
    read = {name: str(stage.run / name) for name in stage.inputs}
    settings = recipes.settings(stage.recipe, stage.run)
    if read:
        settings = recipes.merged({"data": {"init_args": read}}, settings)
    return ["-c", json.dumps(settings, default=str), "--out", str(stage.out), *stage.overrides]


def fit(stage: Stage, watchers: Sequence[Callback] = ()) -> RecipeCLI:
    """Train a stage, or continue from the last finished epoch; its checkpoints stay in its work.

    :returns: what was trained, with the weights of the last epoch.
    :raises RecipeError: where the recipe has no seed.
    """
    stage.prepare_work()
    cli = RecipeCLI(arguments(stage), stage, "fit", watchers)
    last = stage.work / "last.ckpt"
    try:
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=last if last.is_file() else None)
    except SystemExit as stop:
        # Lightning leaves the process at Ctrl-C, and at SIGTERM as if all had gone well.
        if isinstance(stop, SIGTERMException) or isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stop
        raise
    return cli


def train(stage: Stage, watchers: Sequence[Callback] = ()) -> None:
    """Train a stage, or continue from the last finished epoch, and put its files in place.

    :param watchers: callbacks in addition to the stage's and the recipe's own.
    :raises RecipeError: where the recipe has no seed.
    """
    begin, resumed = time.monotonic(), (stage.work / "last.ckpt").is_file()
    cli = fit(stage, watchers)
    end_processes(cli.trainer)
    seconds = {"training": time.monotonic() - begin}
    best = stage.work / "best.ckpt"
    if not best.is_file():  # nothing was validated
        best = stage.work / "last.ckpt"
    model: StageModule = cli.model
    if isinstance(cli.trainer.strategy, SHARDED):  # built again, with all weights in this process
        model = cli.parser.instantiate_classes(cli.config).model
        model.trainer = cli.trainer
        model.setup("fit")
        model.configure_model()
    if best.is_file():
        state = torch.load(best, map_location="cpu", weights_only=True)
        model.load_state_dict(state["state_dict"], strict=model.strict_loading)
    with stage.output(cli.seed) as folder:
        if best.is_file():
            shutil.copyfile(best, folder / CHECKPOINT)
        torch.manual_seed(cli.seed)  # this process may have trained no epoch, or all of them
        metrics = model.write(folder)
        for addition in cli.additions:
            with blaming(addition, "add to a trained stage"), torch.no_grad():
                added = addition.add(model, cli.datamodule, folder, stage.logs)
            if there := metrics.keys() & added.keys():
                raise PluginError(
                    f"{provider(addition)} gives the metric {min(there)!r}, which the "
                    f"stage {stage.name} has already. Call it otherwise, for example with the "
                    "package's name before it."
                )
            metrics = {**metrics, **added}
        text = json.dumps(metrics, indent=2, sort_keys=True)
        (folder / "metrics.json").write_text(f"{text}\n")
        write_final(stage.logs, cli.shown_settings, metrics)
        if not resumed:  # else nobody knows how long the first part took
            seconds["stage"] = time.monotonic() - begin
            (folder / SECONDS).write_text(json.dumps(seconds))


def end_processes(trainer: pl.Trainer) -> None:
    """Let the first of several processes continue alone; the others have nothing left to do.

    Lightning starts the others with the first one's own command line, and leaves marks in the
    environment by which a further training would take its process for one of them.

    :raises SystemExit: in all processes but the first.
    """
    if trainer.world_size == 1:
        return
    if not trainer.is_global_zero:
        raise SystemExit(0)
    if distributed.is_initialized():
        distributed.destroy_process_group()
    for name in ("LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)
