"""`lightrec plugins`."""

import argparse
import json

from lightrec import plugins


def main(command: str, arguments: list[str]) -> int:
    """List plugins and their parts without importing the parts."""
    parser = argparse.ArgumentParser(
        prog="lightrec plugins",
        description="List the installed plugins and what they provide.",
        epilog="example:\n  lightrec plugins list --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=["list"])
    parser.add_argument("--json", action="store_true", help="for programs to read")
    chosen = parser.parse_args(arguments)
    found = plugins.installed()
    if chosen.json:
        content = {
            "parts": [vars(part) for slot in found.parts.values() for part in slot.values()],
            "broken": found.broken,
        }
        print(json.dumps(content, indent=2))
        return 0
    for slot, parts in found.parts.items():
        if parts:
            print(f"{slot}:")
        for part in parts.values():
            print(f"  {part.name:<20} {part.path:<58} {part.distribution}")
    for sentence in found.broken.values():
        print(f"broken: {sentence}")
    return 0
