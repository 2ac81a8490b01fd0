"""Classes that have moved to packages beside lightrec: their new paths, and who provides them.

Recipes, run folders and checkpoints that name an old path keep loading.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from lightrec.errors import warn

MOVED: Final = {
    f"{old}.{name}": f"{new}.{name}"
    for old, new, names in (
        ("lightrec.encoders.fused", "lightrec_images.fused", "Fused"),
        ("lightrec.encoders.given", "lightrec_images.given", "Given"),
        ("lightrec.encoders.image", "lightrec_images.image", "ImageEncoder"),
        ("lightrec.encoders.trials", "lightrec_news.trials", "TrialData TrialModule"),
        (
            "lightrec.ranking.language_readers",
            "lightrec_generate.language_readers",
            "LanguageReader PairClassifier Decoder",
        ),
        (
            "lightrec.ranking.reader_module",
            "lightrec_generate.reader_module",
            "ReaderModule ReaderData",
        ),
        ("lightrec.data.readers.recbole", "lightrec_formats.recbole", "RecBoleReader"),
        (
            "lightrec.nn.item_readers",
            "lightrec_news.reading",
            "ConvolutionReader SelfAttentionReader",
        ),
        ("lightrec.nn.towers", "lightrec_news.reading", "AdditiveAttention"),
        ("lightrec.nn.towers", "lightrec_lab.towers", "GRU LigrTransformer MeanPooling"),
        ("lightrec.learners.adversarial", "lightrec_lab.adversarial", "GAIL AIRL"),
        (
            "lightrec.policies.return_conditioned",
            "lightrec_lab.return_conditioned",
            "ReturnConditioned",
        ),
        ("lightrec.learners.imitation", "lightrec_lab.imitation", "SQIL"),
        ("lightrec.learners.replay", "lightrec_lab.replay", "ReplayPolicyModule"),
        ("lightrec.learners.world_data", "lightrec_worlds.world_data", "WorldData"),
        ("lightrec.policies.tower", "lightrec_worlds.tower", "TowerPolicy"),
        ("lightrec.policies.bandits", "lightrec_lab.bandits", "LinUCB ThompsonSampling"),
        ("lightrec.users.irl.base", "lightrec_lab.irl", "ClickClassifier RewardWeightedLikelihood"),
        ("lightrec.simulators.choice_process", "lightrec_lab.choice_process", "ChoiceProcess"),
        ("lightrec.users.irl.looking_ahead", "lightrec_lab.irl", "IQLearn TasteMixture"),
        ("lightrec.users.irl.looking_ahead", "lightrec.users.irl", "MaxEnt"),
        ("lightrec.users.reward_model", "lightrec.users.irl", "RewardModel Continuation"),
        ("lightrec.users.reward_model", "lightrec_lab.irl", "Gate"),
        ("lightrec.rewards.combined", "lightrec.rewards.accepted", "WeightedSum"),
        *(
            (f"lightrec.rewards.{old}", f"lightrec_rewards.{new}", names)
            for old, new, names in (
                ("accepted", "accepted", "ConversionReward ProbabilityLogReward"),
                ("base", "attributes", "AttributeReward LengthReward"),
                ("combined", "normalised", "NormalisedReward"),
                ("limits", "limits", "ConstrainedReward EqualExposure NewItems FewRepeats Variety"),
                ("penalties", "penalties", "RepetitionPenalty FatiguePenalty UncertaintyPenalty"),
                ("staying", "staying", "StayReward ReturnReward ShapedReward ContinuationShaping"),
            )
        ),
        *(
            (f"lightrec.evaluation.{module}", f"lightrec_ope.{module}", names)
            for module, names in (
                ("shown", "ShownItems"),
                ("replay", "Replayed"),
                ("estimators.bandit", "BanditLog IPS SNIPS DR SNDR DM MIPS"),
                ("estimators.slates", "SlateLog SlateIPS IndependentIPS"),
                ("estimators.slates", "CascadeIPS CascadeDR PseudoInverse"),
                ("estimators.sequences", "SequenceLog PerDecisionIPS"),
                ("estimators.sequences", "SequentialDR Marginalized"),
            )
        ),
        ("lightrec.evaluation.exposure", "lightrec_audit.exposure", "ProviderExposure"),
        ("lightrec.evaluation.robustness", "lightrec_audit.robustness", "Robustness"),
        ("lightrec.stages.assumptions", "lightrec_audit.assumptions", "assume"),
        (
            "lightrec.evaluation.user_models",
            "lightrec_audit.user_models",
            "SimulatedStatistics KnownTruth",
        ),
        *(
            (f"lightrec.simulators.worlds.{module}", f"lightrec_worlds.{module}", name)
            for module, name in (
                ("greed", "Greed"),
                ("interest_evolution", "InterestEvolution"),
                ("long_term_satisfaction", "LongTermSatisfaction"),
                ("retention", "Retention"),
                ("tastes", "Tastes"),
            )
        ),
    )
    for name in names.split()
}
"""New paths of classes by their old ones."""
OTHERS: Final = {
    **{"worlds": "lightrec-worlds", "lab": "lightrec-worlds", "trials": "lightrec-news"},
    "estimate": "lightrec-ope",
    **dict.fromkeys(("rules", "wishes"), "lightrec-rules"),
    "data fetch": "lightrec-formats",
    "constant": "lightrec-worlds",
    "tune": "lightrec-tune",
    "reader": "lightrec-generate",
    "encode": "lightrec-export",
    **dict.fromkeys(("update", "runs"), "lightrec-update"),
    **dict.fromkeys(("export", "batch"), "lightrec-export"),
    **dict.fromkeys(("compare", "explain", "judge", "probe"), "lightrec-audit"),
    **dict.fromkeys(("cql", "reinforce-top-k", "return-conditioned"), "lightrec-lab"),
    **dict.fromkeys(("a2c", "reinforce", "careful"), "lightrec-lab"),
    **dict.fromkeys(("epsilon-greedy", "linucb", "thompson"), "lightrec-lab"),
}
"""Packages of sets of recipes, losses, words and commands that once were lightrec's own."""
NEEDED: Final = {
    "lightrec-export": ("lightrec-rules",),
    "lightrec-lab": ("lightrec-rewards",),
    "lightrec-worlds": ("lightrec-rewards", "lightrec-lab"),
    "lightrec-news": ("lightrec-formats", "lightrec-rewards"),
}
"""Packages of this repository that another one needs."""
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


def hint(name: str) -> str:
    """Say which package provides what once was lightrec's own; empty where there is none.

    :param name: of a class, with or without its module, of a set of recipes, a loss or a command.
    """
    short = re.split("[.:]", name)[-1]
    packages = [_package(new) for new in MOVED.values() if new.endswith(f".{short}")]
    package = next(iter(packages), OTHERS.get(name))
    if package is None:
        return ""
    folders = " ".join(f"plugins/{each}" for each in (*NEEDED.get(package, ()), package))
    return f" {short} is part of {package}: `pip install {folders}` in a checkout."


def _package(path: str) -> str:
    return path.partition(".")[0].replace("_", "-")
