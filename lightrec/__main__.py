"""The command line: one table of commands, looked up before anything heavy is imported."""

import sys
from importlib import import_module
from importlib.metadata import version

COMMANDS = {
    "run": ("lightrec.cli.run", "Do all stages in order, skipping what has not changed."),
    "recommend": ("lightrec.cli.recommend", "Recommend with a finished run."),
    "evaluate": ("lightrec.cli.evaluate", "Evaluate a run, or your own predictions beside it."),
    "fit": ("lightrec.cli.fit", "Train one stage from its recipe."),
    "validate": ("lightrec.cli.fit", "Validate one trained stage."),
    "test": ("lightrec.cli.fit", "Test one trained stage."),
    "simulate": ("lightrec.cli.simulate", "Roll policies in a simulator of users."),
    "judge": ("lightrec.cli.judge", "Judge policies in several simulators and three modes."),
    "probe": ("lightrec.cli.probe", "Find out whether a simulator pays for what nobody would."),
    "tune": ("lightrec.cli.tune", "Search the best settings of one stage."),
    "data": ("lightrec.cli.data", "Check your data; convert it to Parquet; fetch samples."),
    "plugins": ("lightrec.cli.plugins", "List, show and check plugins; begin a new one."),
    "recipes": ("lightrec.cli.recipes", "List the recipes; copy one to change it."),
    "doctor": ("lightrec.cli.doctor", "Show what lightrec finds on this machine."),
}
"""Command, module that has ``main(command, arguments) -> int``, one line of help."""


def usage() -> str:
    """Give the text of ``lightrec --help``."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return f"""usage: lightrec COMMAND [ARGUMENTS]

Recommenders that understand language and think further than the next click.

commands:
{commands}

examples:
  lightrec run video
  lightrec run generic --log my.csv --items my_items.csv
  lightrec recommend runs/video --user 42 -k 10
  lightrec fit -c video/encoder --trainer.max_epochs 5
  lightrec tune -c video/encoder --trials 30

`lightrec COMMAND --help` tells more.  `lightrec --version` gives the version.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    :param arguments: by default those of the process.
    :returns: the exit status: 0, or 2 where the input or the command cannot be used.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"lightrec {version('lightrec')}")
        return 0
    command, *rest = arguments
    if command not in COMMANDS:
        print(
            f"lightrec: there is no command {command!r}. `lightrec --help` lists them.",
            file=sys.stderr,
        )
        return 2
    from lightrec.errors import LightrecError

    try:
        return import_module(COMMANDS[command][0]).main(command, rest)
    except LightrecError as error:
        print(f"lightrec: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lightrec: stopped. The same command goes on where this one was.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
