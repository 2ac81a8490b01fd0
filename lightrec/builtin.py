"""lightrec's own parts, given through the same hooks that other packages use."""

from pathlib import Path

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


def named(module: str, *classes: str) -> dict[str, str]:
    """Give the import paths of some classes of a module, by their own names."""
    return {name: f"{module}:{name}" for name in classes}


@hookimpl
def lightrec_encoders() -> dict[str, str]:
    """Give the text encoder."""
    return named("lightrec.encoders.text", "TextEncoder")


@hookimpl
def lightrec_simulators() -> dict[str, str]:
    """Give the simulator that runs a learned user model, and worlds whose truth is known."""
    worlds = "lightrec.simulators.worlds"
    return {
        **named("lightrec.simulators.user_model", "UserModelSimulator"),
        **named(f"{worlds}.interest_evolution", "InterestEvolution"),
        **named(f"{worlds}.long_term_satisfaction", "LongTermSatisfaction"),
        **named(f"{worlds}.far", "Far"),
        **named(f"{worlds}.greed", "Greed"),
        **named(f"{worlds}.retention", "Retention"),
    }


@hookimpl
def lightrec_rewards() -> dict[str, str]:
    """Give the rewards."""
    rewards = "lightrec.rewards"
    accepted = (
        "EngagementReward",
        "LearnedReward",
        "SurplusReward",
        "ValueReward",
        "ConversionReward",
        "ProbabilityLogReward",
    )
    penalties = "RepetitionPenalty", "FatiguePenalty", "UncertaintyPenalty"
    return {
        **named(f"{rewards}.accepted", *accepted),
        **named(f"{rewards}.staying", "StayReward", "ReturnReward", "ContinuationShaping"),
        **named(f"{rewards}.penalties", *penalties),
        **named(f"{rewards}.combined", "WeightedSum", "NormalisedReward"),
    }


@hookimpl
def lightrec_policies() -> dict[str, str]:
    """Give the policies."""
    policies = "lightrec.policies"
    baselines = "RandomPolicy", "PopularityPolicy", "ConstantListPolicy", "GreedyRankerPolicy"
    return {
        **named(f"{policies}.candidate", "CandidatePolicy"),
        **named(f"{policies}.baselines", *baselines),
        **named(f"{policies}.epsilon_greedy", "EpsilonGreedy"),
        **named(f"{policies}.bandits", "LinUCB", "ThompsonSampling"),
    }


@hookimpl
def lightrec_evaluators() -> dict[str, str]:
    """Give the evaluators of the report."""
    return {
        **named("lightrec.evaluation.held_out", "HeldOutLog"),
        **named("lightrec.evaluation.sessions", "SimulatedSessions"),
        **named("lightrec.evaluation.statistics", "SimulatedStatistics"),
        **named("lightrec.evaluation.truth", "KnownTruth"),
    }


@hookimpl
def lightrec_domains() -> dict[str, str]:
    """Give the domain that knows nothing in particular."""
    return {"generic": "lightrec.data.domain:Domain"}


@hookimpl
def lightrec_readers() -> dict[str, str]:
    """Give the readers."""
    return {
        **named("lightrec.data.readers.canonical", "CanonicalReader"),
        **named("lightrec.data.readers.recbole", "RecBoleReader"),
        **named("lightrec.data.readers.table", "TableReader"),
    }


@hookimpl
def lightrec_components() -> dict[str, str]:
    """Give what stages are made of: modules and data modules, towers, losses, item models."""
    towers, losses, irl = "lightrec.nn.towers", "lightrec.ranking.losses", "lightrec.users.irl"
    item_models, learners = "lightrec.ranking.item_models", "lightrec.learners"
    return {
        **named("lightrec.ranking.module", "RankingModule"),
        **named("lightrec.ranking.sequence_data", "SequenceData"),
        **named("lightrec.users.module", "ChoiceModule"),
        **named("lightrec.users.choice_data", "ChoiceData"),
        **named(f"{learners}.on_policy", "PolicyModule"),
        **named(f"{learners}.replay", "ReplayPolicyModule"),
        **named(f"{learners}.policy_data", "PolicyData"),
        **named(f"{learners}.world_data", "WorldData"),
        **named(f"{learners}.imitation", "SQIL"),
        **named(f"{learners}.adversarial", "GAIL", "AIRL"),
        **named(towers, "CausalTransformer", "LigrTransformer", "GRU", "MeanPooling"),
        **named(losses, "SoftmaxLoss", "SampledSoftmaxLoss", "InBatchLoss", "BPRLoss"),
        **named(losses, "BCELoss", "GBCELoss"),
        **named(f"{item_models}.base", "Popularity", "RecentPopularity"),
        **named(f"{item_models}.item_to_item", "ItemKNN", "TextNeighbours", "EASE"),
        **named(f"{item_models}.item_to_item", "NextItemRidge", "DirectionalCooccurrence"),
        **named(f"{item_models}.als", "ALS"),
        **named(f"{irl}.maxent", "MaxEnt", "TasteMixture"),
        **named(f"{irl}.iq_learn", "IQLearn"),
        **named(f"{irl}.base", "ClickClassifier", "RewardWeightedLikelihood"),
        **named("lightrec.ranking.sequence_transforms", "Crop", "Mask", "Reorder"),
        **named("lightrec.ranking.adversarial", "AdversarialPerturbation"),
    }


@hookimpl
def lightrec_commands() -> dict[str, str]:
    """Give the commands, in the order in which `lightrec --help` lists them."""
    return {
        "run": "lightrec.cli.run:main",
        "recommend": "lightrec.cli.recommend:recommend",
        "evaluate": "lightrec.cli.evaluate:evaluate",
        "fit": "lightrec.cli.fit:fit",
        "validate": "lightrec.cli.fit:validate",
        "test": "lightrec.cli.fit:test",
        "simulate": "lightrec.cli.play:simulate",
        "judge": "lightrec.cli.play:judge",
        "probe": "lightrec.cli.play:probe",
        "tune": "lightrec.cli.tune:main",
        "data check": "lightrec.cli.data:check",
        "data convert": "lightrec.cli.data:convert",
        "data fetch": "lightrec.cli.data:fetch",
        "plugins list": "lightrec.cli.plugins:list_plugins",
        "plugins show": "lightrec.cli.plugins:show",
        "plugins check": "lightrec.cli.plugins:check",
        "plugins new": "lightrec.cli.plugins:new",
        "recipes list": "lightrec.cli.recipes:list_recipes",
        "recipes show": "lightrec.cli.recipes:show",
        "recipes copy": "lightrec.cli.recipes:copy",
        "doctor": "lightrec.cli.doctor:doctor",
    }


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes: inside the package in a wheel, next to it in a checkout."""
    inside = Path(__file__).parent / "recipes"
    return [inside if inside.is_dir() else Path(__file__).parents[1] / "recipes"]
