"""`lightrec recipes`."""

import argparse
import shutil
from pathlib import Path

from lightrec import plugins
from lightrec.errors import RecipeError
from lightrec.stages import recipes


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parsing = argparse.ArgumentParser(
        prog="lightrec recipes",
        description="List the installed recipes, or copy some to change them.",
        epilog="examples:\n  lightrec recipes list\n  lightrec recipes copy video my_video\n"
        "  lightrec recipes copy video/encoder my_encoder.yaml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parsing.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="show all recipes")
    copy = actions.add_parser("copy", help="copy a set (video) or one recipe (video/encoder)")
    copy.add_argument("name", help="such as video or video/encoder")
    copy.add_argument("to", type=Path, help="the folder or file to write")
    return parsing


def main(command: str, arguments: list[str]) -> int:
    """List recipes, or copy a set or a single one."""
    chosen = parser().parse_args(arguments)
    if chosen.action == "list":
        for part in plugins.installed().parts[plugins.RECIPES].values():
            for path in sorted(Path(part.path).glob("*.yaml")):
                print(f"{f'{part.name}/{path.stem}':<24} {part.distribution:<24} {path}")
        return 0
    if chosen.to.exists():
        raise RecipeError(f"{chosen.to} exists already; name a path that does not.")
    if "/" in chosen.name or Path(chosen.name).is_file():
        shutil.copyfile(recipes.find(chosen.name), chosen.to)
    else:
        shutil.copytree(recipes.folder(chosen.name), chosen.to)
    print(chosen.to)
    return 0
