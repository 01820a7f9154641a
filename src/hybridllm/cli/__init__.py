"""The command line `hybridllm`. It uses the public package, as any user would, and nothing below it."""
