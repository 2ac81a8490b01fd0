"""Worlds for lightrec: simulators whose truth is known, because their laws are written down."""
