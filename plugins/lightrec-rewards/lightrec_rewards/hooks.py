"""What this package adds to lightrec."""

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_rewards = gives(
    {
        "StayReward": "lightrec_rewards.staying:StayReward",
        "ReturnReward": "lightrec_rewards.staying:ReturnReward",
        "ContinuationShaping": "lightrec_rewards.staying:ContinuationShaping",
        "UncertaintyPenalty": "lightrec_rewards.accepted:UncertaintyPenalty",
        "ConversionReward": "lightrec_rewards.accepted:ConversionReward",
        "ProbabilityLogReward": "lightrec_rewards.accepted:ProbabilityLogReward",
        "ConstrainedReward": "lightrec_rewards.limits:ConstrainedReward",
        "LengthReward": "lightrec_rewards.accepted:LengthReward",
    }
)
lightrec_evaluators = gives({"TimeSpent": "lightrec_rewards.spent:TimeSpent"})
lightrec_components = gives(
    {
        name: f"lightrec_rewards.limits:{name}"
        for name in ("EqualExposure", "NewItems", "FewRepeats", "Variety")
    }
)
