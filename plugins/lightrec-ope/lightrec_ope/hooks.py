"""What this package adds to lightrec."""

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_commands = gives({"estimate": "lightrec_ope.commands:estimate"})
