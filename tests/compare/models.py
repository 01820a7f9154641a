"""Three simulated models of one policy: a dear one that is right, a cheap one that often is, a silly one."""

from __future__ import annotations

from hybridllm.testing import Reply
from hybridllm.testing._wire import SentRequest

POLICY = """\
version: 1
environment: production
backends:
  us: {kind: api, base_url: https://us.test/v1, region: us, operator: third_party, retention: 30d}
  own:
    {kind: vllm, base_url: http://own.test/v1, allow_plaintext: true, region: eu, operator: self,
     retention: none, price: {input_per_1m: 10, output_per_1m: 40}}
models:
  big: {price: {input_per_1m: 10, output_per_1m: 40}, on: {us: big, own: big}}
  small: {price: {input_per_1m: 1, output_per_1m: 4}, on: {us: small}}
  silly: {on: {us: silly}}
residency:
  public: {}
  phi: {regions: [eu], operators: [self], retention: [none]}
default_residency: public
routes:
  - name: default
    use: [big]
"""


def answer(sent: SentRequest) -> Reply:
    """Capital letters of what was asked, as each model is able to."""
    asked = sent.json["messages"][-1]["content"]
    model = sent.json["model"]
    if model == "silly":
        return Reply.status(400)
    hard = model == "small" and "hard" in asked
    text = "I don't know" if hard else asked.upper()
    delay_s = 0.2 if model == "big" else 0.05
    return Reply.chat(text, usage=(10, 5), model=model).after(delay_s)
