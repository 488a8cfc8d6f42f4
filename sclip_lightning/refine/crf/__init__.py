"""What the dense CRF and the bilateral filter are built of: Gaussian filtering on the permutohedral lattice."""
