"""What is read from the records of runs: results, comparisons, tables. Neither torch nor Lightning is needed."""
