"""Evaluations, driven by Lightning: a run from its first session to its results.

``module`` wires a benchmark's data, a segmentor and the scores; ``session_start`` and ``session_end`` are what happens
before the first and after the last image, ``context`` what callbacks see of it. Nothing below imports this room.
"""
