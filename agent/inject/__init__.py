"""How does a pod get its agent? One pure patch, for `attache inject` and for the webhook."""
