"""`lightrec recipes`."""

import argparse
import shutil
from pathlib import Path

from lightrec.errors import RecipeError
from lightrec.pipeline import recipes


def main(command: str, arguments: list[str]) -> int:
    """List recipes, or copy a set or a single one."""
    parser = argparse.ArgumentParser(
        prog="lightrec recipes",
        description="List the installed recipes, or copy some to change them.",
        epilog="examples:\n  lightrec recipes list\n  lightrec recipes copy video my_video\n"
        "  lightrec recipes copy video/encoder my_encoder.yaml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="show all recipes")
    copy = actions.add_parser("copy", help="copy a set (video) or one recipe (video/encoder)")
    copy.add_argument("name")
    copy.add_argument("to", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.action == "list":
        for name, folder in recipes.folders().items():
            for path in sorted(folder.glob("*.yaml")):
                print(f"{name}/{path.stem:<12} {path}")
        return 0
    if chosen.to.exists():
        raise RecipeError(f"{chosen.to} exists already; name a path that does not.")
    if "/" in chosen.name or Path(chosen.name).is_file():
        shutil.copyfile(recipes.find(chosen.name), chosen.to)
    else:
        shutil.copytree(recipes.folder(chosen.name), chosen.to)
    print(chosen.to)
    return 0
