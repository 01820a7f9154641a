"""`hybridllm compare`."""
