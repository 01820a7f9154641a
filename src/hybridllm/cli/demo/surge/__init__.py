"""The second act: a burst overflows from the own machine to the API and comes back; then the machine sleeps.

`policy.yaml` decides, `world` starts the backends, puts one to sleep and wakes it, `traffic` says what is
asked, `figures` and `without` make the sums, `summary` tells them.
"""
