"""What a person runs to see the agent at work: never imported by `agent/`."""
