"""Who takes part."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One client of the comparison.

    Attributes:
        name: On the command line, and of its module under `bench/clients`.
        imports: The statement at the top of its user's file; None: nothing that would be compared.
        competitor: True if it lives in the competitors' virtual environment.
    """

    name: str
    label: str
    imports: str | None
    competitor: bool = False


RAW = Entry("raw_aiohttp", "raw aiohttp (JSON, no types)", "import aiohttp")
OPENAI = Entry("openai_sdk", "openai.AsyncOpenAI (httpx2)", "from openai import AsyncOpenAI")
OPENAI_AIOHTTP = Entry("openai_aiohttp", "openai.AsyncOpenAI (aiohttp)", None)
LITELLM = Entry("litellm_router", "litellm.Router", "from litellm import Router", competitor=True)
TENSORZERO = Entry(
    "tensorzero_embedded",
    "TensorZero embedded",
    "from tensorzero import AsyncTensorZeroGateway",
    competitor=True,
)
OURS = Entry("hybrid", "hybridllm.Router", "from hybridllm import Router, context, receipt")

EVERYBODY = (RAW, OPENAI, OPENAI_AIOHTTP, TENSORZERO, LITELLM, OURS)
