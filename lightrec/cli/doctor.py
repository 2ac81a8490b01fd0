"""`lightrec doctor`."""

import argparse
import json
from dataclasses import asdict

from lightrec.stages.doctor import examine


def parser() -> argparse.ArgumentParser:
    """Give the parser of `lightrec doctor`."""
    parser = argparse.ArgumentParser(
        prog="lightrec doctor",
        description="Show what lightrec finds on this machine: versions, devices, plugins, models, "
        "folders. Paste it into a bug report.",
        epilog="examples:\n  lightrec doctor\n  lightrec doctor --json > doctor.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="for programs to read")
    return parser


def main(command: str, arguments: list[str]) -> int:
    """Print findings; exit with 2 where something needs mending."""
    chosen = parser().parse_args(arguments)
    findings = list(examine())
    if chosen.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        topic = ""
        for finding in findings:
            if finding.topic != topic:
                topic = finding.topic
                print(f"{topic}:")
            mend = f"\n      {finding.mend}" if finding.mend else ""
            print(f"  {'!' if finding.mend else ' '} {finding.name:<22} {finding.value}{mend}")
    wrong = sum(bool(finding.mend) for finding in findings)
    if wrong and not chosen.json:
        print(f"\n{wrong} of these {'needs' if wrong == 1 else 'need'} mending (marked with !).")
    return 2 if wrong else 0
