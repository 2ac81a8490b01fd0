"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_domains() -> dict[str, str]:
    """Give the domain of news."""
    return {"news": "lightrec_news.domain:NewsDomain"}


@hookimpl
def lightrec_readers() -> dict[str, str]:
    """Give the readers of public logs of news."""
    return {
        "MindReader": "lightrec_news.readers:MindReader",
        "UpworthyReader": "lightrec_news.readers:UpworthyReader",
    }


@hookimpl
def lightrec_rewards() -> dict[str, str]:
    """Give the reward of reading."""
    return {"ReadingReward": "lightrec_news.reward:ReadingReward"}


@hookimpl
def lightrec_evaluators() -> dict[str, str]:
    """Give the evaluator of topics and age."""
    return {"TopicsAndAge": "lightrec_news.evaluator:TopicsAndAge"}


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes of ``lightrec run news``, and those that read words as NRMS and NAML do."""
    return [Path(__file__).parent / "recipes"]
