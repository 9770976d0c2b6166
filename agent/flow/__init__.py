"""The two pipelines, request in, decision out."""
