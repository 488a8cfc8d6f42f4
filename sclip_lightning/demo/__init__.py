"""A benchmark that needs nothing: drawn scenes, a small CLIP and a small LoftUp, and how these were trained."""
