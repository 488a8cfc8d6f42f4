"""Published rows run again: which there are, what keeps a run from being one of them, and what is handed on of it."""
