"""The group `hybridllm prices`."""
