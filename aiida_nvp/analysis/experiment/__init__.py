"""Measured curves and numbers, and how far the calculated ones agree with them. Pure code."""
