"""The campaign file: one model, its checks and the plan derived from it. No AiiDA import."""
