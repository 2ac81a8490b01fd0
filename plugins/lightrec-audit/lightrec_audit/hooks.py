"""What this package adds to lightrec."""

from lightrec.hookspecs import gives

LIGHTREC_API = 1

lightrec_evaluators = gives(
    {
        "ProviderExposure": "lightrec_audit.exposure:ProviderExposure",
        "Robustness": "lightrec_audit.robustness:Robustness",
    }
)
lightrec_commands = gives(
    {
        "explain": "lightrec_audit.commands:explain",
        "judge": "lightrec_audit.commands:judge",
        "probe": "lightrec_audit.commands:probe",
    }
)
lightrec_after_training = gives({"LearnedReward": "lightrec_audit.learned:LearnedReward"})
lightrec_sections = gives({"LearnedRewardSection": "lightrec_audit.learned:LearnedRewardSection"})
