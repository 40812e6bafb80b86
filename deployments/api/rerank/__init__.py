"""Scores of texts against each other, in the shapes that Cohere, Jina and vLLM share."""
