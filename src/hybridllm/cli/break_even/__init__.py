"""`hybridllm break-even`: what traffic costs at an API and on own machines, and where the two cross."""
