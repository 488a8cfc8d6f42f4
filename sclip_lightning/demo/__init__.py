"""The demo: drawn scenes as a benchmark, and the training of the small networks that come with the package."""
