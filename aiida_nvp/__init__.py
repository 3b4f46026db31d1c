"""Active learning of machine-learned potentials for oxide glasses, with every number traceable in AiiDA."""

__version__ = "0.1.0"
