"""May they? Canonical paths, compiled routes, requirements."""
