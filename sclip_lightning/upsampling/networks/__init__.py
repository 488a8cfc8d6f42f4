"""Networks that upsample features, and their published weights."""
