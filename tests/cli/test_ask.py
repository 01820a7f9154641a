"""`hybridllm ask`: the answer on standard output, everything else on standard error."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import Result

from cli.conftest import KEY, run_in_terminal
from hybridllm.testing import Fault, SimulatedBackend

ANSWER = "Queue: billing. It was charged twice."
POLICY = """\
version: 1
backends:
  near: {{kind: api, base_url: "{url}", api_key_env: EXAMPLE_KEY, region: eu}}
models:
  small: {{context: 32K, price: {{input_per_1m: 0.01, output_per_1m: 0.02}}, on: {{near: small}}}}
residency:
  eu: {{regions: [eu]}}
  us: {{regions: [us]}}
default_residency: eu
routes:
  - {{name: default, use: [small]}}
retries: {{same_backend_max: 0}}
"""


@pytest.fixture
async def backend() -> AsyncIterator[SimulatedBackend]:
    async with SimulatedBackend(models=["small"], api_key=KEY, answer=ANSWER) as backend:
        yield backend


@pytest.fixture
def policy(tmp_path: Path, backend: SimulatedBackend) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.format(url=backend.base_url))
    return path


@pytest.fixture
def ask(hybridllm, policy: Path):
    """Run `ask` in another thread, for the backend lives in this one's loop."""

    async def run(*args: object, **kwargs: object) -> Result:
        return await asyncio.to_thread(hybridllm, "ask", policy, *args, **kwargs)

    return run


@pytest.mark.parametrize("options", [(), ("--no-stream",)])
async def test_the_answer_alone_is_on_standard_output(ask, backend, options) -> None:
    """Streamed or not; the receipt is on standard error, with route and cost."""
    result = await ask("I was charged twice", *options)

    assert result.exit_code == 0, result.output
    assert result.stdout == f"{ANSWER}\n"
    assert "route default" in result.stderr
    assert "near/small" in result.stderr
    assert "$0.0000" in result.stderr
    (request,) = backend.requests
    assert bool(request.json.get("stream")) is (options == ())


async def test_hints_and_parameters_reach_the_router(ask, backend) -> None:
    """What is OpenAI's goes to the backend, what is ours stays here."""
    hints = ("--tenant", "acme", "--feature", "triage", "--residency", "eu", "--session", "s1")
    result = await ask(
        *("Hello", "--system", "Be short.", "--max-tokens", 3, "--temperature", 0.5, "--json"),
        *hints,
        *("--model", "small", "--deadline", 5, "--max-cost", "0.01"),
    )

    receipt = json.loads(result.stdout)["receipt"]
    assert (receipt["tenant"], receipt["feature"], receipt["session"]) == ("acme", "triage", "s1")
    sent = backend.requests[0].json
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert (sent["max_tokens"], sent["temperature"]) == (3, 0.5)
    assert "acme" not in json.dumps(sent)


async def test_tags_and_metadata_decide_and_stay_here(ask, policy: Path, backend) -> None:
    """A policy may look at them; a backend never sees them."""
    when = "name: default, when: {tags: beta, metadata: {plan: pro-7}}"
    policy.write_text(policy.read_text().replace("name: default", when))
    result = await ask("Hello", "--tags", "x,beta", "--metadata", "plan=pro-7", "--json")

    assert result.exit_code == 0, result.output
    assert "pro-7" not in json.dumps(backend.requests[0].json)
    assert (await ask("Hello", "--tags", "beta")).exit_code == 3


async def test_json_is_one_object_with_text_and_receipt(ask) -> None:
    """Nothing else is on standard output, and nothing on standard error."""
    result = await ask("Hello", "--json")

    told = json.loads(result.stdout)
    assert (told["ok"], told["text"], told["finish_reason"]) == (True, ANSWER, "stop")
    assert told["receipt"]["attempts"][0]["outcome"] == "served"
    assert result.stderr == ""


@pytest.mark.parametrize("prompt", [(), ("-",)])
async def test_the_prompt_may_be_piped_in(ask, backend, prompt) -> None:
    """Without a prompt, or with `-`, standard input is read."""
    result = await ask(*prompt, stdin="From a pipe.\n")

    assert result.exit_code == 0, result.output
    assert backend.requests[0].json["messages"][0]["content"] == "From a pipe.\n"


async def test_an_empty_prompt_is_wrong_usage(ask, backend) -> None:
    """Nothing is sent."""
    result = await ask(stdin="  \n")

    assert result.exit_code == 2
    assert "empty" in result.stderr
    assert backend.requests == []


@pytest.mark.parametrize(
    ("options", "rule"),
    [(("--residency", "us"), "residency 'us'"), (("--residency", "mars"), "'mars'")],
)
async def test_a_denied_request_ends_with_3(ask, backend, options, rule) -> None:
    """Nothing is sent; the rule and the way to look into it are told."""
    result = await ask("Hello", *options)

    assert result.exit_code == 3
    assert rule in result.stderr
    assert "hybridllm explain" in result.stderr
    assert result.stdout == ""
    assert backend.requests == []


async def test_a_wrong_key_is_told_with_its_remedy_and_never_shown(ask, backend) -> None:
    """The variable is named; its value is nowhere."""
    wrong = "sk-wrong-key-1234567890"
    result = await ask("Hello", environ={"EXAMPLE_KEY": wrong})

    assert result.exit_code == 1
    assert "api_key_env" in result.stderr
    assert wrong not in result.output


async def test_a_failed_request_ends_with_1_and_its_receipt(ask, backend) -> None:
    """Each attempt is told, for people and as JSON; no traceback."""
    backend.fault = Fault.status(503)

    result = await ask("Hello")
    as_json = await ask("Hello", "--json")

    assert result.exit_code == as_json.exit_code == 1
    assert "503" in result.stderr
    assert "Traceback" not in result.output
    told = json.loads(as_json.stdout)
    assert told["error"]["type"] == "RouteExhausted"
    assert told["receipt"]["attempts"][0]["status_code"] == 503


async def test_a_cut_stream_keeps_what_came_and_ends_with_1(ask, backend) -> None:
    """The partial text stands on standard output; the error begins on a line of its own."""
    backend.fault = Fault.cut_after(3)

    result = await ask("Hello")

    assert result.exit_code == 1
    assert ANSWER.startswith(result.stdout.strip())
    assert result.stdout.strip()
    assert result.stderr.startswith("error: ")


async def test_ctrl_c_ends_the_request_and_shows_no_traceback(
    policy, backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is closed, the code is 130."""
    monkeypatch.setenv("EXAMPLE_KEY", KEY)
    backend.answer, backend.tokens_per_s = "word " * 500, 20
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hybridllm", "ask", str(policy), "Tell me everything"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    first = await process.stdout.readexactly(4)  # the answer comes as it is made
    process.send_signal(signal.SIGINT)
    rest, errors = await process.communicate()

    assert (first, process.returncode) == (b"word", 130)
    assert len(rest) < 1_000
    assert errors.decode().split() == ["interrupted"]
    while backend.active:
        await asyncio.sleep(0)


async def test_an_answer_cannot_steer_the_terminal(policy, backend, monkeypatch) -> None:
    """What a model says is text: control characters but tab and newline are left out."""
    monkeypatch.setenv("EXAMPLE_KEY", KEY)
    backend.answer = "one\x1b]0;title\x07 two\x9b31m\tthree\nfour"

    code, told = await asyncio.to_thread(run_in_terminal, "ask", policy, "Hello")

    assert code == 0, told
    assert told.startswith("one]0;title two31m\tthree\r\nfour\r\n")
