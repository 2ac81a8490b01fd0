"""What this package adds to lightrec."""

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_simulators() -> dict[str, str]:
    """Give the simulator of a shop's users."""
    return {"VirtualTaobao": "lightrec_ecommerce.virtual_taobao:VirtualTaobao"}
