"""Policies as an application would have them, of the sizes that the figures ask for."""

from __future__ import annotations

from bench.load import MODEL

KEY_ENV = "BENCH_API_KEY"
ENVIRON = {KEY_ENV: "sk-bench-0123456789abcdef0123456789"}

TOP = """\
version: 1
environment: production
default_residency: public
residency:
  public: {}
  eu: {regions: [eu]}
  phi: {regions: [eu], operators: [self], retention: [none]}
"""


def tasks_of(routes: int) -> list[str]:
    """A task for each route but the last, and one that only the last, the default, takes."""
    return [f"task-{number:02}" for number in range(routes - 1)] + ["anything-else"]


def policy_text(port: int, *, routes: int = 10, backends: int = 2) -> str:
    """A policy whose main model stands on all `backends`: hosted APIs and vLLM by turns."""
    lines = [TOP + "backends:"]
    on = []
    for number in range(backends):
        url = f"http://127.0.0.1:{port}/b{number:02}/v1"  # the upstream looks at no path
        if number % 2:
            name, kind, rest = f"vllm-{number:02}", "vllm", "operator: self, retention: none"
            on.append(f"{name}: {{name: {MODEL}, price: free}}")
        else:
            name, kind = f"api-{number:02}", "api"
            rest = f"operator: third_party, retention: 30d, api_key_env: {KEY_ENV}"
            on.append(f"{name}: {MODEL}")
        lines.append(f"  {name}: {{kind: {kind}, base_url: '{url}', region: eu, {rest}}}")
    price = "price: {input_per_1m: 0.18, output_per_1m: 0.28, cached_input_per_1m: 0.05}"
    can = "capabilities: [tools, json_schema]"
    lines.append("models:")
    lines.append(f"  {MODEL}: {{context: 32K, {can}, {price}, on: {{{', '.join(on)}}}}}")
    lines += [
        f"  {other}: {{context: 128K, {can}, {price}, on: {{api-00: {other}}}}}"
        for other in ("glm-4-9b", "deepseek-v4-flash")
    ]
    *named, rest = tasks_of(routes)
    lines.append("tasks:")
    lines += [
        f"  {task}: {{bucket: bandwidth, timeouts: {{total: 30s}}}}" for task in [*named, rest]
    ]
    lines.append("routes:")
    for number, task in enumerate(named):
        also = ", tenant: [acme, 'tenant-*']" if number % 3 == 0 else ""
        lines.append(f"  - name: route-{number:02}")
        lines.append(f"    when: {{task: [{task}], residency: [eu, public]{also}}}")
        lines.append(f"    use: [{MODEL}]")
        lines.append("    fallbacks: [glm-4-9b]")
    lines.append("  - name: default")
    lines.append(f"    use: [{MODEL}]")
    lines.append("    fallbacks: [deepseek-v4-flash]")
    return "\n".join(lines) + "\n"


def failover_text(bad_port: int, good_port: int) -> str:
    """Two backends for one model: `primary` is preferred and bad; `warm` requests never meet it."""
    return f"""\
{TOP}backends:
  primary: {{kind: vllm, base_url: 'http://127.0.0.1:{bad_port}/v1', region: eu, operator: self}}
  second: {{kind: vllm, base_url: 'http://127.0.0.1:{good_port}/v1', region: eu, operator: self}}
models:
  {MODEL}: {{context: 32K, on: {{primary: {{name: {MODEL}, price: free}},
                                second: {{name: {MODEL}, price: free}}}}}}
routes:
  - name: warm
    when: {{task: warm}}
    use: [{{model: {MODEL}, on: [second]}}]
  - name: preferred
    use: [{{model: {MODEL}, on: [primary, second]}}]
"""
