"""What this package adds to lightrec."""

from lightrec.hookspecs import gives

LIGHTREC_API = 1

lightrec_components = gives({"Layers": "lightrec_finetune.layers:Layers"})
