"""Programs that run inside jobs. No AiiDA import, so they run on a laptop as they are."""
