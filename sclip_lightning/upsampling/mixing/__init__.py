"""What upsamplers share: whose logits a position of the finer grid mixes, and with which weights."""
