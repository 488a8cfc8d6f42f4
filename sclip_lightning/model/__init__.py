"""The segmentor: parts put together, from windows to labels."""
