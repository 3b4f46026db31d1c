"""AiiDA WorkChains whose outlines read like the stage table."""
