"""What this package adds to lightrec."""

from lightrec.hookspecs import gives

LIGHTREC_API = 1

lightrec_commands = gives({"reasons": "lightrec_generate.commands:reasons"})
