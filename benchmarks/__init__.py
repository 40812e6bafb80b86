"""What Stowage costs and what it gains, measured side by side. See README.md."""
