"""The policy of a machine of one's own and an API, and where the two are."""

from __future__ import annotations

URLS = {"own": "http://own.internal:8000/v1", "api": "https://api.test/v1"}


def own_and_api(own: str, route: str) -> str:
    """Return a policy in which `phi` may only go to the own machine.

    Args:
        own: What else is said of the own machine, such as `saturation: {max_inflight: 8}`.
        route: What is said of the one route, such as `use: [{model: m, on: [own, api]}]`.
    """
    return f"""
version: 1
backends:
  own: {{kind: vllm, base_url: "{URLS["own"]}", allow_plaintext: true, region: eu,
        operator: self, retention: none, price: free, {own}}}
  api: {{kind: api, base_url: "{URLS["api"]}", region: us, operator: third_party, retention: 30d,
        price: {{input_per_1m: 0.1, output_per_1m: 0.2}}}}
models: {{m: {{on: {{own: m, api: m}}}}}}
default_residency: public
residency: {{public: {{}}, phi: {{operators: [self]}}}}
routes: [{{name: all, {route}}}]
"""
