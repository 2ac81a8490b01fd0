"""What this package adds to lightrec."""

from lightrec.hookspecs import gives

LIGHTREC_API = 1

lightrec_commands = gives(
    {
        "serve": "lightrec_serve.commands:serve",
        "served": "lightrec_serve.commands:served",
    }
)
