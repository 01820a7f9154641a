"""`hybridllm report`: its options, and the file that it writes."""

from __future__ import annotations
