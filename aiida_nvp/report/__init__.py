"""Reads the provenance graph and writes one self-contained page."""
