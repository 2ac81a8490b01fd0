"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_domains() -> dict[str, str]:
    """Give the domain of tracks and artists."""
    return {"music": "lightrec_music.domain:MusicDomain"}


@hookimpl
def lightrec_readers() -> dict[str, str]:
    """Give the reader of Last.fm's plays, tags and friends."""
    return {"LastfmReader": "lightrec_music.readers:LastfmReader"}


@hookimpl
def lightrec_rewards() -> dict[str, str]:
    """Give the reward that weighs discoveries against favourites."""
    return {"DiscoveryReward": "lightrec_music.familiarity:DiscoveryReward"}


@hookimpl
def lightrec_evaluators() -> dict[str, str]:
    """Give the evaluator of repeats and discoveries."""
    return {"Familiarity": "lightrec_music.familiarity:Familiarity"}


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes of ``lightrec run music``."""
    return [Path(__file__).parent / "recipes"]
