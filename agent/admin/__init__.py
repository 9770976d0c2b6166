"""How is the agent? Health, metrics, keys and status, over HTTP on loopback."""
