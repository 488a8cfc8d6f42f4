"""What several commands need to understand their arguments: configurations, names of parts and of benchmarks."""
