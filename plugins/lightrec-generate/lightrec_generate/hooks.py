"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.hookspecs import gives

LIGHTREC_API = 1

lightrec_components = gives(
    {
        "GeneratorData": "lightrec_generate.module:GeneratorData",
        "GeneratorModule": "lightrec_generate.module:GeneratorModule",
        "LanguageGenerator": "lightrec_generate.language:LanguageGenerator",
        "ParallelGenerator": "lightrec_generate.parallel:ParallelGenerator",
        "TitleDecoder": "lightrec_generate.titles:TitleDecoder",
        "TreeGenerator": "lightrec_generate.generator:TreeGenerator",
    }
)
lightrec_policies = gives({"GeneratorPolicy": "lightrec_generate.policy:GeneratorPolicy"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
lightrec_simulators = gives({"LanguageModelUsers": "lightrec_generate.users:LanguageModelUsers"})
lightrec_commands = gives(
    {
        "agreement": "lightrec_generate.commands:agreement",
        "reasons": "lightrec_generate.commands:reasons",
    }
)
