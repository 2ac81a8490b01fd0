"""Classes that have moved to packages beside lightrec: their new paths, and who provides them.

Recipes, run folders and checkpoints that name an old path keep loading.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lightrec.errors import warn

TABLE: Final = """
encoders.fused lightrec_images.fused Fused
encoders.given lightrec_images.given Given
encoders.image lightrec_images.image ImageEncoder
encoders.trials lightrec_news.trials TrialData TrialModule
ranking.language_readers lightrec_generate.language_readers LanguageReader PairClassifier Decoder
ranking.reader_module lightrec_generate.reader_module ReaderModule ReaderData
data.readers.recbole lightrec_formats.recbole RecBoleReader
nn.item_readers lightrec_news.reading ConvolutionReader SelfAttentionReader
nn.towers lightrec_news.reading AdditiveAttention
nn.towers lightrec_lab.towers GRU LigrTransformer MeanPooling
learners.adversarial lightrec_lab.adversarial GAIL AIRL
policies.return_conditioned lightrec_lab.return_conditioned ReturnConditioned
learners.imitation lightrec_lab.imitation SQIL
learners.replay lightrec_lab.replay ReplayPolicyModule
learners.world_data lightrec_worlds.world_data WorldData
policies.tower lightrec_worlds.tower TowerPolicy
policies.bandits lightrec_lab.bandits LinUCB ThompsonSampling
users.irl.base lightrec_lab.irl ClickClassifier RewardWeightedLikelihood
simulators.choice_process lightrec_lab.choice_process ChoiceProcess
users.irl.looking_ahead lightrec_lab.irl IQLearn TasteMixture
users.irl.looking_ahead lightrec.users.irl MaxEnt
users.reward_model lightrec.users.irl RewardModel Continuation
users.reward_model lightrec_lab.irl Gate
rewards.combined lightrec.rewards.accepted WeightedSum
rewards.accepted lightrec_rewards.accepted ConversionReward ProbabilityLogReward
rewards.base lightrec_rewards.attributes AttributeReward LengthReward
rewards.combined lightrec_rewards.normalised NormalisedReward
rewards.limits lightrec_rewards.limits ConstrainedReward EqualExposure NewItems FewRepeats Variety
rewards.penalties lightrec_rewards.penalties RepetitionPenalty FatiguePenalty UncertaintyPenalty
rewards.staying lightrec_rewards.staying StayReward ReturnReward ShapedReward ContinuationShaping
evaluation.shown lightrec_ope.shown ShownItems
evaluation.replay lightrec_ope.replay Replayed
evaluation.estimators.bandit lightrec_ope.estimators.bandit BanditLog IPS SNIPS DR SNDR DM MIPS
evaluation.estimators.slates lightrec_ope.estimators.slates SlateLog SlateIPS IndependentIPS
evaluation.estimators.slates lightrec_ope.estimators.slates CascadeIPS CascadeDR PseudoInverse
evaluation.estimators.sequences lightrec_ope.estimators.sequences SequenceLog PerDecisionIPS
evaluation.estimators.sequences lightrec_ope.estimators.sequences SequentialDR Marginalized
evaluation.exposure lightrec_audit.exposure ProviderExposure
evaluation.robustness lightrec_audit.robustness Robustness
stages.assumptions lightrec_audit.assumptions assume
evaluation.user_models lightrec_audit.user_models SimulatedStatistics KnownTruth
simulators.worlds.greed lightrec_worlds.greed Greed
simulators.worlds.interest_evolution lightrec_worlds.interest_evolution InterestEvolution
simulators.worlds.long_term_satisfaction lightrec_worlds.long_term_satisfaction LongTermSatisfaction
simulators.worlds.retention lightrec_worlds.retention Retention
simulators.worlds.tastes lightrec_worlds.tastes Tastes
"""
"""A line for each module: its name within lightrec, the new module, and the classes that moved."""
MOVED: Final = {
    f"lightrec.{old}.{name}": f"{new}.{name}"
    for old, new, *names in map(str.split, TABLE.strip().splitlines())
    for name in names
}
"""New paths of classes by their old ones."""
OTHERS: Final = {
    "lightrec-worlds": ("worlds", "lab", "constant"),
    "lightrec-news": ("trials",),
    "lightrec-ope": ("estimate",),
    "lightrec-rules": ("rules", "wishes"),
    "lightrec-formats": ("data fetch",),
    "lightrec-tune": ("tune",),
    "lightrec-generate": ("reader",),
    "lightrec-serve": ("serve", "served"),
    "lightrec-update": ("update", "runs"),
    "lightrec-export": ("encode", "export", "batch"),
    "lightrec-audit": ("assumptions", "compare", "explain", "judge", "probe"),
    "lightrec-lab": (
        *("cql", "reinforce-top-k", "return-conditioned", "a2c", "reinforce", "careful"),
        *("epsilon-greedy", "linucb", "thompson"),
    ),
}
"""Sets of recipes, losses, words and commands that once were lightrec's own, by packages."""
NEEDED: Final = {
    "lightrec-export": ("lightrec-rules",),
    "lightrec-serve": ("lightrec-audit", "lightrec-export", "lightrec-rules"),
    "lightrec-lab": ("lightrec-rewards",),
    "lightrec-worlds": ("lightrec-rewards", "lightrec-lab"),
    "lightrec-news": ("lightrec-formats", "lightrec-rewards"),
}
"""Packages of this repository that another one needs."""
GONE: Final = {
    "drop_unreadable_times": "--skip-broken broken.csv leaves out events without a readable time",
}
"""Settings that old runs and recipes may have, and what does it now."""
_PATH: Final = re.compile(r"\blightrec(?:\.\w+)+[.:]\w+")


def moved(value: Any) -> Any:
    """Settings, or a path of a class, with new paths in place of old ones; each is warned of once.

    :param value: text, or mappings and lists of texts; all else stays what it is.
    """
    if isinstance(value, str):
        return _PATH.sub(_new, value)
    if isinstance(value, Mapping):
        return {name: moved(inner) for name, inner in value.items()}
    return [moved(inner) for inner in value] if isinstance(value, list) else value


def _new(path: re.Match[str]) -> str:
    new = MOVED.get(path[0].replace(":", "."))
    if new is not None:
        warn(f"{path[0]} is now {new}, of the package {_package(new)}. Write the new name.")
    return new or path[0]


def is_gone(name: str) -> bool:
    """Whether a setting is gone, which is warned of."""
    if name in GONE:
        warn(f"The setting {name} is gone, and left out here: {GONE[name]}.")
    return name in GONE


def words_left(words: Iterable[str]) -> list[str]:
    """Words of a line without settings that are gone, and without their values."""
    left, gone = [], False
    for word in words:
        if word.startswith("--"):
            gone = is_gone(word[2:].partition("=")[0])
        left += [] if gone else [word]
    return left


def hint(name: str) -> str:
    """Say which package provides what once was lightrec's own; empty where there is none.

    :param name: of a class, with or without its module, of a set of recipes, a loss or a command.
    """
    short = re.split("[.:]", name)[-1]
    packages = [_package(new) for new in MOVED.values() if new.endswith(f".{short}")]
    packages += [package for package, names in OTHERS.items() if name in names]
    if not packages:
        return ""
    package = packages[0]
    folders = " ".join(f"plugins/{each}" for each in (*NEEDED.get(package, ()), package))
    return f" {short} is part of {package}: `pip install {folders}` in a checkout."


def _package(path: str) -> str:
    return path.partition(".")[0].replace("_", "-")
