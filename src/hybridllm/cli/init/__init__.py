"""`hybridllm init`: look around, ask a few questions, write a starter policy."""
