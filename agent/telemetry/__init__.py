"""What happened? Audit records, metrics and the log."""
