"""What all benchmarks share: from a root folder to samples."""
