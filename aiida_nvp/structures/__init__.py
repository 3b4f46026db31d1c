"""Compositions, packing, perturbation and crystals: where atoms come from. Pure code."""
