"""`hybridllm simulate`: what traffic that may come would cost, and ask of each backend."""
