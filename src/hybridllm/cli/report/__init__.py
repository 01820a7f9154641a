"""`hybridllm report`: one month on a page."""
