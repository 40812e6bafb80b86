"""The version of this release, for where the project is on PYTHONPATH and not installed."""

VERSION = "0.1.0"  # as in pyproject.toml
