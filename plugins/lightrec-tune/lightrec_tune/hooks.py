"""What this package adds to lightrec."""

from lightrec.hookspecs import gives

LIGHTREC_API = 1

lightrec_commands = gives({"tune": "lightrec_tune.commands:tune"})
