"""What `init` writes, for every combination of what may be found and answered."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from random import Random

import pytest

from hybridllm import Router, check_cases
from hybridllm.cli.init.cases import cases_of
from hybridllm.cli.init.draft import Side, Wishes, draft_of
from hybridllm.cli.init.hosted import APIS, BY_NAME
from hybridllm.cli.init.servers import LM_STUDIO, OLLAMA, UNKNOWN, VLLM, Listed, Server
from hybridllm.cli.init.write import policy_text


def server(kind, *models: str, port: int = 1) -> Server:
    return Server(
        f"http://127.0.0.1:{port}/v1", kind, tuple(Listed(name, 4_096) for name in models)
    )


OWN = [
    (),
    (server(VLLM, "Qwen/Qwen3-8B"),),
    (server(VLLM, "Qwen/Qwen3-8B"), server(VLLM, "Qwen/Qwen3-8B", "BAAI/bge-m3", port=2)),
    (
        server(OLLAMA, "qwen3:8b", "qwen3:0.6b", "nomic-embed-text:latest"),
        server(VLLM, "Qwen/Qwen3-32B"),
    ),
    (server(UNKNOWN, "gpt-x", "on", "010", "null"),),
    (replace(server(VLLM, "m"), base_url="http://localhost.example.com:8000/v1"),),
    (server(VLLM, "embed/qwen-8b"), server(VLLM, "x/qwen-8b", port=2)),
    (server(LM_STUDIO, "text-embedding-nomic-embed-text-v1.5"),),
]
HOSTED = [
    (),
    ("global-apis",),
    ("openai", "groq", "together"),
    ("deepseek", "fireworks", "cerebras"),
]
TASKS = [
    ("classify", "summarize", "chat"),
    ("classify",),
    ("chat",),
    ("on", "null", "1e3", "no"),
    ("0x10", "1:20", "not-a-task"),
    ("not-a-task-2", "0o7", "not-a-task"),
]
EVERY = [
    case
    for case in product(OWN, HOSTED, Side, (True, False), (None, "eu", "NO"), TASKS)
    if case[1] or any(not model.embeds for one in case[0] for model in one.models)
]


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_found_the_policy_loads_and_passes_its_tests(seed: int, tmp_path: Path) -> None:
    """A sample of all combinations; each route is tested, and no name is mistaken for something else."""
    own, hosted, first, private, region, tasks = Random(seed).choice(EVERY)
    draft = draft_of(
        own,
        [BY_NAME[name] for name in hosted],
        Wishes(first, private, region, tasks),
        book={"qwen3-8b": 32_768, "qwen3-32b": 32_768, "deepseek-v4-flash": 131_072},
    )
    text = policy_text(draft, file="p.yaml", with_schema=True, base_url_from_variable=False)
    (tmp_path / "p.yaml").write_text(text)

    report = check_cases(tmp_path / "p.yaml", environ={})
    assert [case for case in report.results if not case.passed] == []
    assert len(report.results) == len(list(cases_of(draft)))
    assert report.coverage.percent == 100
    assert max(map(len, text.splitlines())) < 140
    router = Router.from_text(text, environ={})
    if private:
        reached = router.explain(task=tasks[0], residency="private").candidates
        assert not {name.split("/")[0] for name in reached} & set(hosted)


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_every_hosted_api_makes_a_policy(api) -> None:
    """Known addresses are https, and no table entry is refused."""
    draft = draft_of((), [api], Wishes(Side.OWN, False, None, ("classify", "chat")))
    text = policy_text(draft, file="p.yaml", with_schema=False, base_url_from_variable=False)
    policy = Router.from_text(text, environ={}).policy

    assert policy.backends[api.name].base_url == api.base_url
    assert api.base_url.startswith("https://")
    assert policy.backends[api.name].api_key_env == api.variable


@pytest.mark.parametrize("names", [("embed/qwen-8b", "x/qwen-8b"), ("x/qwen-8b", "embed/qwen-8b")])
def test_a_model_that_embeds_and_one_that_does_not_are_two(names: tuple[str, str]) -> None:
    """Whatever their names have in common, and whoever is listed first; a hosted one too."""
    servers = [server(VLLM, name, port=port) for port, name in enumerate(names, 1)]
    api = replace(BY_NAME["groq"], small="y/qwen-8b", large="y/qwen-8b")
    draft = draft_of(servers, [api], Wishes(Side.OWN, False, None, ("chat",)))

    (embedding,) = (model for model in draft.models if model.embeds)
    (chat,) = (model for model in draft.models if not model.embeds)
    assert list(embedding.on.values()) == ["embed/qwen-8b"]
    assert list(chat.on.values()) == ["x/qwen-8b", "y/qwen-8b"]
    assert {asked.model for route in draft.routes for asked in route.chain} == {chat.name}


@pytest.mark.parametrize("tasks", TASKS[3:], ids=",".join)
def test_tasks_may_be_called_as_yaml_calls_other_things(tasks: tuple[str, ...]) -> None:
    """Numbers, times, the name that the test of an unknown task would take."""
    draft = draft_of(OWN[1], [], Wishes(Side.OWN, True, "eu", tasks))
    text = policy_text(draft, file="p.yaml", with_schema=False, base_url_from_variable=False)

    assert list(Router.from_text(text, environ={}).policy.tasks) == list(tasks)
