"""`lightrec tune`; parsing only."""

from pathlib import Path
from time import sleep

from lightrec.cli.fit import Config, stage_of
from lightrec.data.files import check_file
from lightrec.errors import RecipeError, RunError
from lightrec.stages import redo


def tune(
    *settings: str,
    config: Config = None,
    space: Path | None = None,
    print_space: bool = False,
    trials: int = 20,
    run: Path | None = None,
    out: Path | None = None,
    no_pruning: bool = False,
    storage: str | None = None,
) -> None:
    """Search a stage's best settings with Optuna, judged by validation alone.

    examples:
      lightrec tune -c video/ranker --trials 30
      lightrec tune -c video/ranker --print-space > space.yaml
      lightrec tune -c video/ranker --space space.yaml --trials 30
      lightrec tune -c generic/ranker --run runs/mine --out runs/mine/tune --trainer.max_epochs 5
      lightrec tune -c video/ranker --trials 30 & lightrec tune -c video/ranker --trials 30

    The space names settings of the recipe, each with a range or a list of choices:
      model.init_args.learning_rate: {low: 0.0003, high: 0.01, log: true}
      model.init_args.tower.init_args.layers: [1, 2, 3]

    The same command continues where it was stopped; with more trials it adds to those there are.
    Several of them at once share the trials, and take up what one that was killed had begun.

    :param space: a file that says what is searched (default: the stage's own).
    :param print_space: print what would be searched, and stop.
    :param trials: how many in all, those of earlier calls included.
    :param run: the run to read from (default: the recipe's).
    :param out: the folder to leave (default: RUN/tune-STAGE).
    :param no_pruning: train every trial to its end, however bad.
    :param storage: the URL of a database for Optuna's study, for commands on several machines,
        which also share the folder (default: OUT/study.db).
    """
    if trials < 1:
        raise RecipeError(f"--trials must be at least 1, not {trials}.")
    from lightrec_tune import search
    from lightrec_tune.space import default_space, parse_space

    stage = stage_of("tune", settings, config)
    if run is not None:
        stage = stage_of("tune", settings, config, run / stage.name)
    if space is None:
        content, source = default_space(stage.name), "the default space"
        advice = "The default space fits the transformer towers; another tower needs a space of "
        advice += "its own, which --space names."
    else:
        check_file(space)
        content, source = space.read_text(errors="replace"), str(space)
        advice = f"Correct {space}, or search another recipe."
    if print_space:
        print(content, end="")
        return
    searched = parse_space(content, source)
    fixed = {word[2:].partition("=")[0] for word in settings if word.startswith("--")}
    if space is not None and (twice := fixed & searched.keys()):
        raise RecipeError(
            f"--{min(twice)} is given on the line and searched by {space}: leave out one of them."
        )
    searched = {name: choices for name, choices in searched.items() if name not in fixed}
    if not searched:
        raise RecipeError("Every setting of the default space is given on the line.")
    where = out or stage.run / f"tune-{stage.name}"
    redo.check_folders(stage.run, where.name)
    for wait in (0.1, 0.3, 0.9, None):
        try:
            with redo.alone(where, "tune"):  # no command of another kind writes there
                break
        except RunError:
            if wait is None:
                raise
            sleep(wait)  # another search may look at this very moment
    study = search.Search(stage, searched, where, advice, not no_pruning, storage)
    study.run(trials)
    search.write(study)
    print(search.table(study), end="")
    print(f"best recipe: {where / search.BEST}\npictures: {where}/*.png")
