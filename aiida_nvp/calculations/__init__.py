"""AiiDA CalcJobs and thin calcfunctions over the pure rooms."""
