"""What did the operator say? The typed configuration, its loading, its reload, its schema."""
