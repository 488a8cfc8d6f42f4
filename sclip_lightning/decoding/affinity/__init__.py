"""Which patches see each other: what semantic feedback weakens ties by."""
