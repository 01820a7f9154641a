"""`hybridllm costs`: what a ledger says of money."""
