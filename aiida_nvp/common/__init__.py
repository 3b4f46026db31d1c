"""Shared vocabulary, units and the frame: pure code that every other room may import."""
