"""What this package adds to lightrec."""

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_commands = gives(
    {
        "update": "lightrec_update.commands:update",
        "runs list": "lightrec_update.commands:list_versions",
        "runs promote": "lightrec_update.commands:promote",
        "runs rollback": "lightrec_update.commands:rollback",
    }
)
