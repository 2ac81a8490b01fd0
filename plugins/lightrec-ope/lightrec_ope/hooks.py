"""What this package adds to lightrec."""

from lightrec.hookspecs import gives

LIGHTREC_API = 1

lightrec_evaluators = gives({"ShownItems": "lightrec_ope.shown:ShownItems"})
lightrec_commands = gives({"estimate": "lightrec_ope.commands:estimate"})
