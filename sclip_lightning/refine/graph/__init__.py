"""Machinery of refiners that spread logits over a graph: its edges, and the linear system to be solved."""
