"""Tests of the repository as a whole are left out where packages beside the core are missing."""

from pathlib import Path

from lightrec import plugins

FOLDERS = Path(__file__).parents[1] / "plugins"
NAMES = {path.name for path in FOLDERS.glob("lightrec-*")} - {"lightrec-hello"}
WHOLE = ["benchmarks", "docs", "golden", "test_moved.py", "test_frozen.py", "test_foreign_runs.py"]
WHOLE += ["contracts", "stages/test_recipes.py", "test_plugins.py"]
collect_ignore = WHOLE if NAMES - {p.name for p in plugins.installed().packages} else []
