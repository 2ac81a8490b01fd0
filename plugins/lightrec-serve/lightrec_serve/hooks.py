"""What this package adds to lightrec."""

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_commands = gives(
    {
        "forget": "lightrec_serve.commands:forget",
        "person": "lightrec_serve.commands:person",
        "serve": "lightrec_serve.commands:serve",
        "served": "lightrec_serve.commands:served",
    }
)
