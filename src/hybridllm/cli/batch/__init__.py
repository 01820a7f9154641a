"""`hybridllm batch`: a batch file answered, with a progress bar, resumable after a kill."""
