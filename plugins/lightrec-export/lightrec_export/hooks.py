"""What this package adds to lightrec."""

from lightrec.hookspecs import gives

LIGHTREC_API = 1

lightrec_commands = gives(
    {
        "export": "lightrec_export.export:command",
        "batch": "lightrec_export.batch:batch",
        "encode": "lightrec_export.encode:encode",
    }
)
