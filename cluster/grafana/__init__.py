"""Grafana's dashboards as data, and what pushes them. docs/dashboards.md describes them."""
