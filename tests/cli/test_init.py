"""`hybridllm init`: whatever is found and answered, the policy loads, its tests pass, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import Result

from hybridllm import Policy, Router, check, check_cases
from hybridllm.cli.init.hosted import APIS
from hybridllm.testing import SimulatedBackend

NAMES = [api.variable for api in APIS]
SECRET = "gsk_simulated0000000000"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder, and none of the variables that `init` looks for."""
    monkeypatch.chdir(tmp_path)
    for name in (*NAMES, "OPENAI_BASE_URL", "APP_ENV"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def vllm() -> AsyncIterator[SimulatedBackend]:
    async with SimulatedBackend(models=["Qwen/Qwen3-8B"], kind="vllm") as backend:
        yield backend


@pytest.fixture
def init(hybridllm):
    """Run `init` in another thread, for the servers live in this one's loop; nobody looks at real ports."""

    async def run(*args: object, **kwargs: object) -> Result:
        return await asyncio.to_thread(hybridllm, "init", "--no-look", *args, **kwargs)

    return run


# What is written


async def test_a_server_of_your_own_gives_a_policy_without_doubts(init, vllm, hybridllm) -> None:
    """`check --strict` has nothing to say, every route is tested, and the tests pass."""
    result = await init("--endpoint", vllm.base_url)

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert hybridllm("check", "policy.yaml", "--strict").exit_code == 0
    report = check_cases("policy.yaml")
    assert all(case.passed for case in report.results)
    assert report.coverage.percent == 100
    router = Router.from_file("policy.yaml")
    assert router.explain(task="classify", residency="private").candidates == ("vllm/qwen3-8b",)
    assert router.explain(task="clasify").rule == "unknown task 'clasify'"


async def test_it_says_what_it_found_what_it_wrote_and_what_to_type(init, vllm) -> None:
    """Three commands, each as it can be pasted."""
    result = await init("my policy.yaml", "--endpoint", vllm.base_url)

    assert f"vLLM at {vllm.base_url}: Qwen/Qwen3-8B" in result.stdout
    assert "1 backend, 1 model, 2 routes, 4 tests" in result.stdout
    assert result.stdout.splitlines()[-3:] == [
        "  hybridllm check 'my policy.yaml'",
        "  hybridllm explain 'my policy.yaml' --task classify",
        "  hybridllm ask 'my policy.yaml' 'Say hello' --task chat",
    ]


async def test_a_model_whose_name_a_policy_would_refuse_is_left_out_and_told(init) -> None:
    """What it would be called there counts too: here sk-..., as keys begin."""
    refused = "SK-hynix-model-abcdefghijklmnopqrstuvw0123"
    async with SimulatedBackend(models=[refused, "x/qwen-8b"], kind="vllm") as backend:
        result = await init("--endpoint", backend.base_url)

    assert result.exit_code == 0, result.output
    assert "x/qwen-8b; 1 left out (a name that a policy would refuse)" in result.stdout
    assert list(check("policy.yaml").policy.candidates) == ["qwen-8b"]


async def test_with_nothing_found_one_hosted_api_is_named(init) -> None:
    """Its key is missing: that is told, by check too, and is no failure."""
    result = await init("--yes")

    assert result.exit_code == 0
    assert "set GLOBAL_API_KEY to a key of Global APIs" in result.stdout
    assert "GLOBAL_API_KEY is not set" in result.stderr
    assert list(check("policy.yaml").policy.backends) == ["global-apis"]
    assert not check("policy.yaml", environ={"GLOBAL_API_KEY": SECRET}).problems


async def test_of_a_key_the_name_is_told_and_the_value_never(init, vllm, tmp_path: Path) -> None:
    """Not on the screen, not in a file, not to a server."""
    result = await init("--endpoint", vllm.base_url, environ={"GROQ_API_KEY": SECRET})

    assert "GROQ_API_KEY is set: Groq" in result.stdout
    assert "a request without a tag may go to groq when your own servers fail" in result.stdout
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "api_key_env: GROQ_API_KEY" in written
    assert SECRET not in written + result.output
    assert SECRET not in str([request.headers for request in vllm.requests])


async def test_without_a_terminal_nothing_is_asked(init, vllm) -> None:
    """What stands on standard input is not taken for an answer."""
    result = await init("--endpoint", vllm.base_url, stdin="none\nno\n")

    assert result.exit_code == 0
    assert "?" not in result.output
    assert "private" in check("policy.yaml").policy.residency


async def test_json_is_one_object(init, vllm) -> None:
    """With all that the lines for people say."""
    result = await init("--endpoint", vllm.base_url, "--json", environ={"OPENAI_API_KEY": SECRET})

    told = json.loads(result.stdout)
    assert (told["ok"], told["file"], told["schema"]) == (True, "policy.yaml", "policy.schema.json")
    (server,) = told["found"]["servers"]
    assert (server["kind"], server["models"]) == ("vllm", ["Qwen/Qwen3-8B"])
    assert told["found"]["keys"] == [{"api": "openai", "variable": "OPENAI_API_KEY"}]
    assert told["backends"] == ["vllm", "openai"]
    assert {problem["path"] for problem in told["warnings"]} == {
        "models.gpt-6-luna",
        "models.gpt-6-sol",
    }
    assert [command.split()[1] for command in told["next"]] == ["check", "explain", "ask"]
    assert result.stderr == ""


OPTIONS = [
    (("--hosted", "none"), lambda policy: "groq" not in policy.backends),
    (
        ("--hosted", "mistral,groq"),
        lambda policy: list(policy.backends) == ["vllm", "mistral", "groq"],
    ),
    (
        ("--model", "groq=it/this"),
        lambda policy: policy.candidates["this"][0].wire_model == "it/this",
    ),
    (("--first", "hosted"), lambda policy: _first(policy) == "groq"),
    (("--no-private",), lambda policy: "private" not in policy.residency),
    (("--region", "NO"), lambda policy: policy.residency["NO"].regions == {"NO"}),
    (("--tasks", "triage, review"), lambda policy: list(policy.tasks) == ["triage", "review"]),
    (("--tasks", "review"), lambda policy: [route.name for route in policy.routes] == ["default"]),
]


def _first(policy: Policy) -> str:
    """The backend that is asked first by the last route."""
    return Router(policy, environ={}).explain().candidates[0].partition("/")[0]


@pytest.mark.parametrize(
    ("options", "holds"), OPTIONS, ids=lambda value: str(value) if isinstance(value, tuple) else ""
)
async def test_every_answer_can_be_given_as_an_option(init, vllm, options, holds) -> None:
    """And the policy that comes of it passes its own tests."""
    environ = {"GROQ_API_KEY": SECRET}
    result = await init("--endpoint", vllm.base_url, *options, environ=environ)

    assert result.exit_code == 0, result.output
    assert holds(check("policy.yaml", environ=environ).policy)


# Wrong usage


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("there.d",), "is a folder"),
        (("nowhere/policy.yaml",), "there is no folder nowhere"),
        (("--hosted", "opanai"), "'opanai' is not a hosted API"),
        (("--first", "both"), "neither own nor hosted"),
        (("--region", "private"), "cannot be a region"),
        (("--region", "a b"), "cannot be a region"),
        (("--tasks", ","), "at least one task"),
        (("--tasks", "a/b"), "not a task's name"),
        (("--model", "groq"), "not API=NAME"),
        (("--model", "grok=x"), "not API=NAME"),
        (("--endpoint", "ftp://127.0.0.1/v1"), "not a base URL"),
        (("--endpoint", "http://169.254.169.254/v1"), "link-local or metadata"),
        (("--endpoint", "http://me:secret@127.0.0.1/v1"), "user name or password"),
        (("--endpoint", "http://${HOME}/v1"), "no base URL"),
        (("--endpoint", "http://127.0.0.1:1/v1?key=1"), "no query"),
        (
            ("--openai-base-url", "https://[bad/v1"),
            "OPENAI_BASE_URL: 'https://[bad/v1' has no host",
        ),
    ],
)
async def test_wrong_usage_ends_with_2_and_writes_nothing(init, tmp_path: Path, args, told) -> None:
    """The value, what is allowed, and nothing sent."""
    (tmp_path / "there.d").mkdir()
    result = await init(*args)

    assert result.exit_code == 2, result.output
    assert told in " ".join(result.stderr.replace("│", " ").split())
    assert "secret" not in result.output.replace("secret@127", "", 1) or "@" not in told
    assert [path.name for path in tmp_path.iterdir()] == ["there.d"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://[bad/v1", "has no host"),
        ("https://me:hunter2@[bad/v1", "no user name or password"),
        ("https://me:hunter2@host.example.com/v1", "no user name or password"),
        ("https://me:hunter2@host.example.com/$v1", "is no base URL"),
        ("me:hunter2@127.0.0.1/v1", "no user name or password"),
        ("ftp://127.0.0.1/v1", "not a base URL"),
    ],
)
async def test_a_wrong_openai_base_url_is_told_by_its_variable(
    init, tmp_path: Path, url: str, told: str
) -> None:
    """Wrong usage as with --endpoint, and no password is shown."""
    result = await init("--yes", "--json", environ={"OPENAI_BASE_URL": url})

    assert result.exit_code == 2, result.output
    shown = " ".join(result.stderr.replace("│", " ").split())
    assert "OPENAI_BASE_URL" in shown
    assert told in shown
    assert "hunter2" not in result.output
    assert list(tmp_path.iterdir()) == []


# Addresses


@pytest.mark.parametrize(
    "spelt", ["http://127.0.0.1:{}", "127.0.0.1:{}", "http://127.0.0.1:{}/v1/"]
)
async def test_an_endpoint_may_be_spelt_as_people_do(init, vllm, spelt: str) -> None:
    """Without http://, without /v1, with a slash."""
    await init("--endpoint", spelt.format(vllm.port))
    assert check("policy.yaml").policy.backends["vllm"].base_url == vllm.base_url


async def test_an_openai_base_url_on_this_machine_is_a_server_of_your_own(init, vllm) -> None:
    """Then its key is no key of OpenAI's."""
    environ = {"OPENAI_BASE_URL": vllm.base_url, "OPENAI_API_KEY": "not-needed-here"}
    await init(environ=environ)
    assert list(check("policy.yaml", environ=environ).policy.backends) == ["vllm"]


async def test_an_openai_base_url_elsewhere_goes_before_openais_own(init) -> None:
    """By its variable: what it holds is not written."""
    environ = {"OPENAI_BASE_URL": "https://llm.example.com/v1", "OPENAI_API_KEY": SECRET}
    await init(environ=environ)

    assert "example.com" not in Path("policy.yaml").read_text()
    policy = check("policy.yaml", environ=environ).policy
    assert policy.backends["openai"].base_url == "https://llm.example.com/v1"
    assert check("policy.yaml", environ={}).policy.backends["openai"].base_url == (
        "https://api.openai.com/v1"
    )


async def test_a_server_that_asks_for_a_key_is_shown_as_a_comment(init) -> None:
    """No key is sent to it, so its models are not known."""
    async with SimulatedBackend(api_key="sk-simulated-000000") as keyed:
        result = await init("--endpoint", keyed.base_url)
        assert f"#   base_url: {keyed.base_url}" in Path("policy.yaml").read_text()

    assert "not used, it asks for a key" in result.stdout
    assert "authorization" not in {name.lower() for name in keyed.requests[0].headers}


# At a terminal


def answered(*args: str, typed: str) -> tuple[int, str]:
    """Run `init` in a pseudo-terminal and type answers; return its exit code and what it wrote."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "hybridllm", "init", "--no-look", *args],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        os.close(theirs)
        os.write(ours, f"{typed}\x04".encode())  # and no more than that
        told, _ = process.communicate(timeout=60)
    os.close(ours)
    return process.returncode, told


async def test_at_a_terminal_questions_are_asked_and_answers_taken(vllm) -> None:
    """An answer that cannot be read is asked for again."""
    typed = "graq\ngroq\nhosted\nn\neu\ntriage\n"
    code, told = await asyncio.to_thread(answered, "--endpoint", vllm.base_url, typed=typed)

    assert code == 0, told
    assert "'graq' is not a hosted API" in told
    policy = check("policy.yaml", environ={"GROQ_API_KEY": SECRET}).policy
    assert list(policy.backends) == ["vllm", "groq"]
    assert set(policy.residency) == {"public", "eu"}
    assert _first(policy) == "groq"
    assert list(policy.tasks) == ["triage"]


async def test_whoever_leaves_at_a_question_leaves_no_file(vllm, tmp_path: Path) -> None:
    """Ctrl-D, as Ctrl-C: code 130."""
    code, told = await asyncio.to_thread(answered, "--endpoint", vllm.base_url, typed="")

    assert code == 130, told
    assert list(tmp_path.iterdir()) == []
