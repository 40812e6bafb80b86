"""Anthropic's Messages API, for text."""
