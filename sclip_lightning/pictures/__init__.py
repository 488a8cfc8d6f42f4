"""Pictures of label maps and confusions, and the colours they are drawn in."""
