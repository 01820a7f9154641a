"""`hybridllm chaos`: a policy against simulated backends that fail."""
