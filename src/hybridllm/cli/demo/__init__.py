"""`hybridllm demo`: a region dies and nobody notices; a burst goes to the API and comes back.

Everything but the backends is real: the policies, the router, HTTP over loopback. Each act has a folder:
`outage` and `surge`. `run` sends the traffic of either, `tally` counts, `screen` draws.
"""
