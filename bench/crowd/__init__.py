"""Is anybody ever taken for another? A crowd's requests through instrumented applications."""
