"""Why is a request allowed or denied? `attache explain` and `attache test`."""
