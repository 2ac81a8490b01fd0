"""What this package adds to lightrec."""

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_list_parts = gives(
    {"rules": "lightrec_rules.rules:RuleBook", "wishes": "lightrec_rules.wishes:Wishes"}
)
lightrec_after_training = gives({"LearnWishes": "lightrec_rules.learning:LearnWishes"})
lightrec_commands = gives({"rules": "lightrec_rules.rules:rules"})
