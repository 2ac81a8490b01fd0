"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_domains() -> dict[str, str]:
    """Give the domain of goods that are bought."""
    return {"ecommerce": "lightrec_ecommerce.domain:EcommerceDomain"}


@hookimpl
def lightrec_readers() -> dict[str, str]:
    """Give the readers of four public logs of shops."""
    return {
        "RetailReader": "lightrec_ecommerce.readers:RetailReader",
        "AmazonReader": "lightrec_ecommerce.readers:AmazonReader",
        "CoatReader": "lightrec_ecommerce.experiments:CoatReader",
        "OpenBanditReader": "lightrec_ecommerce.experiments:OpenBanditReader",
    }


@hookimpl
def lightrec_rewards() -> dict[str, str]:
    """Give the reward that weighs conversions against prices."""
    return {"Revenue": "lightrec_ecommerce.rewards:Revenue"}


@hookimpl
def lightrec_evaluators() -> dict[str, str]:
    """Give the evaluator of conversions and revenue."""
    return {"Sales": "lightrec_ecommerce.sales:Sales"}


@hookimpl
def lightrec_simulators() -> dict[str, str]:
    """Give the simulator of a shop's users."""
    return {"VirtualTaobao": "lightrec_ecommerce.virtual_taobao:VirtualTaobao"}


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes of ``lightrec run ecommerce``."""
    return [Path(__file__).parent / "recipes"]
