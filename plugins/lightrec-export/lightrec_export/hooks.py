"""What this package adds to lightrec."""

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_commands = gives(
    {
        "export": "lightrec_export.export:command",
        "batch": "lightrec_export.batch:batch",
        "encode": "lightrec_export.encode:encode",
    }
)
