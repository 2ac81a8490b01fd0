"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_evaluators = gives(
    {
        "KnownTruth": "lightrec_audit.truth:KnownTruth",
        "ProviderExposure": "lightrec_audit.exposure:ProviderExposure",
    }
)
lightrec_commands = gives(
    {
        "compare": "lightrec_audit.compare:compare",
        "explain": "lightrec_audit.commands:explain",
        "judge": "lightrec_audit.commands:judge",
        "probe": "lightrec_audit.commands:probe",
    }
)
lightrec_after_training = gives(
    {"Board": "lightrec_audit.board:Board", "LearnedReward": "lightrec_audit.reward:LearnedReward"}
)
lightrec_sections = gives({"LearnedRewardSection": "lightrec_audit.reward:LearnedRewardSection"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
