"""Heads: trained on the frozen vectors of a trunk, written as bundles, verified and installed."""
