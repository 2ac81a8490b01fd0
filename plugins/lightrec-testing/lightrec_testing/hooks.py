"""What this package adds to lightrec."""

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_commands = gives({"plugins check": "lightrec_testing.plugins:check"})
