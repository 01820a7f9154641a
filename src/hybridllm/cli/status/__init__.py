"""`hybridllm status`: what running processes say of their backends.

`ask` reads their sockets, `values` what they told; `screen` and `figures` draw it, `command` holds the
options.
"""
