"""What does a request cost? Side by side with Envoy's own validator and a no-op."""
