"""`hybridllm status`: what running processes say of their backends.

`ask` reads their sockets, `screen` draws, `command` holds the options.
"""
