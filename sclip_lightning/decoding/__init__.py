"""ResCLIP's two parts: residual cross-correlation self-attention (RCS) and semantic feedback refinement (SFR)."""
