"""What is published about each method, one YAML file a method: parts, numbers, protocol, figures, and their sources.

Data only; :mod:`sclip_lightning.model.facts` reads it. Nothing in here was measured with this package, and a value that
nobody published is absent.
"""
