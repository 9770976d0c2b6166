"""What does somebody else's Envoy need, to ask this agent about its requests?"""
