"""What happens to runs when something goes wrong at the worst moment; see ``python -m tests.faults --help``."""
