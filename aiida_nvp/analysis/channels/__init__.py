"""Where mobile ions go and which of them move: density, percolation, channels, mobility, clusters. Pure code."""
