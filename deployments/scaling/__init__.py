"""How many replicas of a version there should be. Pure: load, settings and memory in, a decision out."""
