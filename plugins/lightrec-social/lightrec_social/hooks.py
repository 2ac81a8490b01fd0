"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_domains() -> dict[str, str]:
    """Give the domain of posts and people."""
    return {"social": "lightrec_social.domain:SocialDomain"}


@hookimpl
def lightrec_readers() -> dict[str, str]:
    """Give the readers of CiaoDVD and of Last.fm's friendships."""
    return {
        "CiaoReader": "lightrec_social.readers:CiaoReader",
        "FriendsReader": "lightrec_social.readers:FriendsReader",
    }


@hookimpl
def lightrec_rewards() -> dict[str, str]:
    """Give the reward that pays more for what seldom seen people made."""
    return {"ExposureReward": "lightrec_social.exposure:ExposureReward"}


@hookimpl
def lightrec_evaluators() -> dict[str, str]:
    """Give the evaluator of who is shown."""
    return {"Exposure": "lightrec_social.exposure:Exposure"}


@hookimpl
def lightrec_components() -> dict[str, str]:
    """Give the item model of what friends chose."""
    return {"FriendsTaste": "lightrec_social.friends:FriendsTaste"}


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes of ``lightrec run social``."""
    return [Path(__file__).parent / "recipes"]
