"""What this package adds to lightrec."""

from lightrec.hookspecs import gives

LIGHTREC_API = 1

lightrec_simulators = gives({"LanguageModelUsers": "lightrec_generate.users:LanguageModelUsers"})
lightrec_commands = gives(
    {
        "agreement": "lightrec_generate.commands:agreement",
        "reasons": "lightrec_generate.commands:reasons",
    }
)
