"""What happens to runs when something goes wrong at the worst moment; ``python -m tests.faults --minutes 30`` by hand."""
