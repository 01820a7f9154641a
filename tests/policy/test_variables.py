"""Variables in a policy, and the keys that never get into one."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable

import pytest

from hybridllm._adapters.environment import Environment, api_key, environment_of
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.secret import Secret
from hybridllm.errors import PolicyError
from policy.policy_text import GOOD, changed, load, place_of_mark, problems_of, warnings_of

KEY = "sk-proj-abcdefghijklmnop0123456789"


def base_url_of(written: str, **environ: str) -> str:
    text = changed("base_url: https://vllm.internal/v1", f"base_url: {written}")
    return load(text, **environ).backends["own-eu"].base_url


@pytest.mark.parametrize(
    ("written", "environ", "expected"),
    [
        ("${URL}", {"URL": "https://a.example/v1"}, "https://a.example/v1"),
        ("${URL:-https://b.example/v1}", {}, "https://b.example/v1"),
        ("${URL:-https://b.example/v1}", {"URL": ""}, "https://b.example/v1"),
        ("${URL:-https://b.example/v1}", {"URL": "https://a.example"}, "https://a.example"),
        ("https://${HOST}/${PATH_}", {"HOST": "a.example", "PATH_": "v1"}, "https://a.example/v1"),
        ("'${URL}'", {"URL": "https://a.example/v1"}, "https://a.example/v1"),
        ("https://a.example/${EMPTY:-}v1", {}, "https://a.example/v1"),
    ],
)
def test_a_variable_stands_for_its_value(
    written: str, environ: dict[str, str], expected: str
) -> None:
    """As in a shell: the default holds where the variable is not set, or empty."""
    assert base_url_of(written, **environ) == expected


def test_a_value_is_not_looked_through_again() -> None:
    """What a variable holds is data: `${` in it stands for itself."""
    text = changed("hosted-us: qwen3-8b,", "hosted-us: 'a-${X}',")
    policy = load(text, X="${Y}", Y="no")
    assert policy.candidates["qwen3-8b"][0].wire_model == "a-${Y}"


def test_two_dollars_are_a_literal_one() -> None:
    """For names that really hold `${`."""
    policy = load(changed("hosted-us: qwen3-8b,", "hosted-us: 'a-$${X}',"))
    assert policy.candidates["qwen3-8b"][0].wire_model == "a-${X}"


def test_flags_and_numbers_may_be_variables() -> None:
    """A variable is a string; `true` and `3` in it mean what they say."""
    text = changed("price: free", "allow_plaintext: ${PLAIN}").replace(
        "routes:", "retries: {attempts_max: '${TRIES:-3}'}\nroutes:"
    )
    assert load(text, PLAIN="true").attempts_max == 3
    (problem,) = problems_of(text, PLAIN="yes")
    assert problem.message == "'${PLAIN}' is neither true nor false"


@pytest.mark.parametrize(
    ("marked", "environ", "message"),
    [
        ("«${URL}", {}, "environment variable 'URL' is not set; set it, or write ${URL:-default}"),
        ("«${}", {}, "'${}' is not a reference to a variable; write ${NAME}"),
        ("«${A B}", {}, "'${A B}' is not a reference"),
        ("«${URL", {}, "'${URL' is not a reference"),
        ("«${1}", {}, "'${1}' is not a reference"),
        ("«${A:-${B}}", {}, "is not a reference"),
        ("«${A-b}", {}, "is not a reference"),
        ("«${URL}", {"URL": "https://a.example/v1\nx: y"}, "holds control characters"),
        ("«${URL}", {"URL": "https://a.example/" + "a" * 5_000}, "longer than 4096 characters"),
        ("«https://a.example/${GLOBAL_API_KEY}", {"GLOBAL_API_KEY": "x" * 20}, "holds a secret"),
        ("«https://a.example/${VALUE}", {"VALUE": KEY}, "'VALUE' holds what looks like an API key"),
        ("«${URL}", {"URL": "ftp://other.example"}, "'${URL}' is not a base URL"),
    ],
)
def test_a_variable_that_does_not_serve_is_told(
    marked: str, environ: dict[str, str], message: str
) -> None:
    """At its place, by its name; what it holds is never shown."""
    text, place = place_of_mark(
        changed("base_url: https://vllm.internal/v1", f"base_url: {marked}")
    )
    (problem,) = problems_of(text, **environ)
    assert message in problem.message
    assert (problem.line, problem.column) == place
    assert not any(value in str(problem) for value in environ.values())


@pytest.mark.parametrize(
    "marked",
    [
        f"price: free\n    api_key: «{KEY}",
        f"price: free\n    api_key_env: «{KEY}",
        f"price: free\n    headers: {{X-Account: «{KEY}}}",
        f"price: free\n    headers: {{X-Account: «Bearer {KEY}}}",
        f"price: free\n    «{KEY}: x",
        f"price: free\n    environments: «{KEY}",
        "price: free\n    environments: «gsk_" + "a" * 30,
        "price: free\n    environments: «eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x",
    ],
)
def test_a_key_in_a_policy_is_refused_and_not_shown(marked: str) -> None:
    """Wherever it stands: the message says where, and how keys are named."""
    text, place = place_of_mark(changed("price: free", marked))
    problems = problems_of(text)
    assert any((problem.line, problem.column) == place for problem in problems)
    told = "\n".join(str(problem) for problem in problems)
    assert "name that under api_key_env" in told
    assert KEY not in told
    assert "eyJ" not in told


@pytest.mark.parametrize("name", ["api_key", "key", "token", "password", "authorization", "secret"])
def test_a_key_under_any_name_is_told_how_keys_are_named(name: str) -> None:
    """The value need not look like a key: the name says enough."""
    (problem,) = problems_of(changed("price: free", f"{name}: hunter2hunter2"))
    assert "name that under api_key_env" in problem.message
    assert "hunter2" not in str(problem)


def test_the_name_of_a_key_is_never_replaced_by_the_key() -> None:
    """`api_key_env: ${NAME}` is a mistake that must not put the key where its name belongs."""
    (problem,) = problems_of(
        changed("price: free", "api_key_env: ${MINE}"), MINE="0123456789abcdef"
    )
    assert problem.message.startswith("'${MINE}' is not the NAME of an environment variable")


def locals_shown(call: Callable[[], object]) -> str:
    """Return the traceback that `call` raises, with the locals of every frame of ours."""
    try:
        call()
    except (PolicyError, ValueError) as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        # The first two frames are this test's own.
        shown.stack = traceback.StackSummary.from_list(shown.stack[2:])
        return "".join(shown.format())
    pytest.fail("nothing was raised")


def test_a_traceback_with_locals_shows_neither_keys_nor_the_environment() -> None:
    """Error trackers print locals."""
    environ = {"GLOBAL_API_KEY": "the-real-key-0123456789", "SHORT_ONE": "abc"}
    written = changed("price: free", f"api_key: {KEY}")
    for text in (written, written + "\n}", changed("version: 1", "version: 2")):
        shown = locals_shown(lambda text=text: load_policy_text(text, environ=environ))
        assert KEY not in shown
        assert "the-real-key" not in shown
    shown = locals_shown(lambda: api_key(environment_of(environ), "SHORT_ONE"))
    assert "abc" not in shown


def test_a_key_that_is_missing_or_none_is_a_warning() -> None:
    """`check` tells; the policy loads, and only a request to that backend fails."""
    text = changed("price: free", "price: free\n    api_key_env: MY_KEY")
    (warning,) = warnings_of(text)
    assert warning.path == "backends.own-eu.api_key_env"
    assert "MY_KEY is not set; requests to 'own-eu' will fail" in warning.message
    (warning,) = warnings_of(text, MY_KEY="sk-x")
    assert "MY_KEY does not hold a key: a key has 8 to 512 characters" in warning.message
    assert "sk-x" not in warning.message
    assert not warnings_of(text, MY_KEY="long-enough")


@pytest.mark.parametrize(
    "value", ["sk-x", "", "1234567", "with space 12", "line\nbreak12", "ключ-ключ", "x" * 513]
)
def test_what_cannot_be_a_key_is_refused_by_its_name(value: str) -> None:
    """The message names the variable and the rule, never the value."""
    with pytest.raises(ValueError, match="MY_KEY does not hold a key") as caught:
        Secret(value, name="MY_KEY")
    assert not value or value not in str(caught.value)


def test_a_secret_shows_its_name_only() -> None:
    """By repr, str, format; it cannot be pickled or changed, and a copy is the same."""
    secret = Secret(KEY, name="MY_KEY")
    assert secret.reveal() == KEY
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{[secret]}"):
        assert "MY_KEY" in shown
        assert KEY not in shown
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)
    with pytest.raises(AttributeError):
        secret.name = "OTHER"
    assert copy.deepcopy(secret) is secret
    assert copy.copy(secret) is secret


def test_the_environment_shows_only_how_many_variables_it_has() -> None:
    """It is held by long-lived objects, whose reprs are printed."""
    environ = Environment({"A": KEY, "B": ""})
    assert repr(environ) == "Environment(2 variables)"
    assert dict(environ) == {"A": KEY, "B": ""}
    assert api_key(environ, "B") is None
    assert api_key(environ, "C") is None
    found = api_key(environ, "A")
    assert found is not None
    assert found.reveal() == KEY


def test_the_process_environment_is_read_where_none_is_handed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And only there: with a mapping handed in, the process's own is not seen."""
    text = changed("base_url: https://vllm.internal/v1", "base_url: ${HYBRIDLLM_TEST_URL}")
    monkeypatch.setenv("HYBRIDLLM_TEST_URL", "https://a.example/v1")
    policy, _ = load_policy_text(text)
    assert policy.backends["own-eu"].base_url == "https://a.example/v1"
    assert problems_of(text)


def test_the_good_policy_is_good() -> None:
    """Or every other test here would prove nothing."""
    assert problems_of(GOOD) == ()
    assert warnings_of(GOOD) == ()
