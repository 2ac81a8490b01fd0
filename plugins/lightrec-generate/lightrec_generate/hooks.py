"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_components = gives(
    {
        "DecoderTower": "lightrec_generate.decoder_tower:DecoderTower",
        "GeneratorData": "lightrec_generate.module:GeneratorData",
        "GeneratorShares": "lightrec_generate.in_blend:GeneratorShares",
        "GeneratorModule": "lightrec_generate.module:GeneratorModule",
        "LanguageGenerator": "lightrec_generate.language:LanguageGenerator",
        "ParallelGenerator": "lightrec_generate.parallel:ParallelGenerator",
        "ReinforcedData": "lightrec_generate.reinforce:ReinforcedData",
        "ReinforcedModule": "lightrec_generate.reinforce:ReinforcedModule",
        "TreeGenerator": "lightrec_generate.tree:TreeGenerator",
    }
)
lightrec_policies = gives({"GeneratorPolicy": "lightrec_generate.policy:GeneratorPolicy"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
lightrec_rewards = gives(
    {
        "DiversityReward": "lightrec_generate.rewards:DiversityReward",
        "GainReward": "lightrec_generate.rewards:GainReward",
        "NoveltyReward": "lightrec_generate.rewards:NoveltyReward",
        "WholeSlate": "lightrec_generate.rewards:WholeSlate",
    }
)
