"""`hybridllm demo`: a region dies under traffic, and nobody notices.

Everything but the backends is real: the shipped policy, the router, HTTP over loopback. `world` starts
and kills the simulated backends, `traffic` says what is asked, `tally` counts, `screen` draws.
"""
