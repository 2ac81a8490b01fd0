"""lightrec's own parts, given through the same hooks that other packages use."""

from pathlib import Path

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_encoders() -> dict[str, str]:
    """Give the text encoder."""
    return {"TextEncoder": "lightrec.encoders.text:TextEncoder"}


@hookimpl
def lightrec_simulators() -> dict[str, str]:
    """Give the simulator that runs a learned user model, and worlds whose truth is known."""
    return {
        "UserModelSimulator": "lightrec.simulators.user_model:UserModelSimulator",
        "InterestEvolution": "lightrec.simulators.worlds.interest_evolution:InterestEvolution",
        "LongTermSatisfaction": (
            "lightrec.simulators.worlds.long_term_satisfaction:LongTermSatisfaction"
        ),
        "Far": "lightrec.simulators.worlds.far:Far",
        "Greed": "lightrec.simulators.worlds.greed:Greed",
        "Retention": "lightrec.simulators.worlds.retention:Retention",
    }


@hookimpl
def lightrec_rewards() -> dict[str, str]:
    """Give the rewards."""
    return {
        "LearnedReward": "lightrec.rewards.learned:LearnedReward",
        "EngagementReward": "lightrec.rewards.engagement:EngagementReward",
        "SurplusReward": "lightrec.rewards.surplus:SurplusReward",
        "ValueReward": "lightrec.rewards.value:ValueReward",
        "ConversionReward": "lightrec.rewards.value:ConversionReward",
        "ProbabilityLogReward": "lightrec.rewards.probability_log:ProbabilityLogReward",
        "StayReward": "lightrec.rewards.staying:StayReward",
        "ReturnReward": "lightrec.rewards.staying:ReturnReward",
        "RepetitionPenalty": "lightrec.rewards.penalties:RepetitionPenalty",
        "FatiguePenalty": "lightrec.rewards.penalties:FatiguePenalty",
        "UncertaintyPenalty": "lightrec.rewards.penalties:UncertaintyPenalty",
        "WeightedSum": "lightrec.rewards.combined:WeightedSum",
        "NormalisedReward": "lightrec.rewards.combined:NormalisedReward",
        "ContinuationShaping": "lightrec.rewards.shaping:ContinuationShaping",
    }


@hookimpl
def lightrec_policies() -> dict[str, str]:
    """Give the policies."""
    return {
        "CandidatePolicy": "lightrec.policies.candidate:CandidatePolicy",
        "RandomPolicy": "lightrec.policies.baselines:RandomPolicy",
        "PopularityPolicy": "lightrec.policies.baselines:PopularityPolicy",
        "ConstantListPolicy": "lightrec.policies.baselines:ConstantListPolicy",
        "GreedyEncoderPolicy": "lightrec.policies.baselines:GreedyEncoderPolicy",
        "EpsilonGreedy": "lightrec.policies.epsilon_greedy:EpsilonGreedy",
        "LinUCB": "lightrec.policies.bandits:LinUCB",
        "ThompsonSampling": "lightrec.policies.bandits:ThompsonSampling",
    }


@hookimpl
def lightrec_evaluators() -> dict[str, str]:
    """Give the evaluators of the report."""
    return {
        "HeldOutLog": "lightrec.evaluation.held_out:HeldOutLog",
        "SimulatedSessions": "lightrec.evaluation.simulated_sessions:SimulatedSessions",
        "SimulatedStatistics": "lightrec.evaluation.simulated_statistics:SimulatedStatistics",
        "KnownTruth": "lightrec.evaluation.simulated_sessions:KnownTruth",
    }


@hookimpl
def lightrec_domains() -> dict[str, str]:
    """Give the domain that knows nothing in particular."""
    return {"generic": "lightrec.data.domain:Domain"}


@hookimpl
def lightrec_readers() -> dict[str, str]:
    """Give the readers."""
    return {
        "CanonicalReader": "lightrec.data.readers.canonical:CanonicalReader",
        "RecBoleReader": "lightrec.data.readers.recbole:RecBoleReader",
        "TableReader": "lightrec.data.readers.table:TableReader",
    }


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes: inside the package in a wheel, beside it in a checkout."""
    inside = Path(__file__).parent / "recipes"
    return [inside if inside.is_dir() else Path(__file__).parents[1] / "recipes"]
