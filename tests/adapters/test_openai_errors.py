"""Our errors are the matching `openai` errors too, so that code written for `openai` keeps its `except`."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import openai
import pytest

from hybridllm._adapters.openai_errors import joined
from hybridllm.errors import (
    ContentFiltered,
    DeadlineExceeded,
    HybridLLMError,
    InvalidRequest,
    PolicyDenied,
    PolicyError,
    RequestFailed,
    RequestRejected,
    RouteExhausted,
    RouterClosed,
    StreamInterrupted,
    TruncatedOutput,
)


def rejected(status: int) -> RequestRejected:
    return RequestRejected("refused", status_code=status, code="c", param="p")


def exhausted(status: int | None, *labels: str) -> RouteExhausted:
    failures = [("eu", label) for label in labels]
    return RouteExhausted("nobody", route="r", failures=failures, status_code=status)


INTERRUPTED = StreamInterrupted(
    "broke", partial_text="he", tokens_seen=1, backend="eu", cause="reset", resumable=True
)
TABLE = [
    pytest.param(rejected(400), openai.BadRequestError, id="400"),
    pytest.param(rejected(404), openai.NotFoundError, id="404"),
    pytest.param(rejected(409), openai.ConflictError, id="409"),
    pytest.param(rejected(413), openai.APIStatusError, id="413"),
    pytest.param(rejected(422), openai.UnprocessableEntityError, id="422"),
    pytest.param(exhausted(401, "401"), openai.AuthenticationError, id="401"),
    pytest.param(exhausted(403, "403"), openai.PermissionDeniedError, id="403"),
    pytest.param(exhausted(429, "503", "429"), openai.RateLimitError, id="429"),
    pytest.param(exhausted(500, "500"), openai.InternalServerError, id="500"),
    pytest.param(exhausted(503, "503"), openai.InternalServerError, id="503"),
    pytest.param(exhausted(529, "529"), openai.InternalServerError, id="529"),
    pytest.param(exhausted(307, "307"), openai.APIStatusError, id="redirect"),
    pytest.param(exhausted(None, "503", "connect"), openai.APIConnectionError, id="connect"),
    pytest.param(exhausted(None, "reset"), openai.APIConnectionError, id="reset"),
    pytest.param(exhausted(None, "invalid_response"), openai.APIConnectionError, id="invalid"),
    pytest.param(exhausted(None, "attempt_timeout"), openai.APITimeoutError, id="timeout"),
    pytest.param(exhausted(None, "connect_timeout"), openai.APITimeoutError, id="connect-timeout"),
    pytest.param(exhausted(None), openai.APIConnectionError, id="nobody-asked"),
    pytest.param(DeadlineExceeded("late", deadline_s=2.0), openai.APITimeoutError, id="deadline"),
    pytest.param(INTERRUPTED, openai.APIConnectionError, id="interrupted"),
    pytest.param(TruncatedOutput("cut"), openai.LengthFinishReasonError, id="truncated"),
    pytest.param(ContentFiltered("no"), openai.ContentFilterFinishReasonError, id="filtered"),
    pytest.param(PolicyDenied("no", rule="r"), openai.OpenAIError, id="denied"),
    pytest.param(InvalidRequest("wrong"), openai.OpenAIError, id="invalid-request"),
    pytest.param(RequestFailed("failed"), openai.OpenAIError, id="failed"),
]


def fresh(error: HybridLLMError) -> HybridLLMError:
    """A copy of our own class: `joined` changes what it is given."""
    return pickle.loads(pickle.dumps(error))


@pytest.mark.parametrize(("error", "theirs"), TABLE)
def test_an_error_is_ours_and_openais(error: HybridLLMError, theirs: type[Exception]) -> None:
    """One object in both trees, with the name, text and facts of ours."""
    both = joined(fresh(error))
    assert isinstance(both, type(error))
    assert isinstance(both, theirs)
    assert isinstance(both, HybridLLMError)
    assert type(both).__name__ == type(error).__name__
    assert str(both) == str(error)
    for name, value in vars(error).items():
        assert getattr(both, name) == value
    if isinstance(both, openai.APIError):
        assert both.message == str(error)
        assert both.body is None
        assert str(both.request.url) == "https://hybridllm.invalid/"
        assert not both.request.content
    if isinstance(both, openai.APIStatusError):
        assert both.response.status_code == both.status_code
        assert both.response.text == ""
        assert both.request_id is None


@pytest.mark.parametrize(("error", "theirs"), TABLE)
def test_an_error_survives_a_pickle_and_copies(
    error: HybridLLMError, theirs: type[Exception]
) -> None:
    """What crosses a process is ours, with all its facts; `openai` need not be there to read it."""
    both = joined(fresh(error))
    for again in (pickle.loads(pickle.dumps(both)), copy.copy(both), copy.deepcopy(both)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)
    assert isinstance(joined(pickle.loads(pickle.dumps(both))), theirs)


@pytest.mark.parametrize(("error", "theirs"), TABLE)
def test_joining_twice_changes_nothing(error: HybridLLMError, theirs: type[Exception]) -> None:
    """And the same pair is the same class."""
    both = joined(fresh(error))
    assert joined(both) is both
    assert type(joined(fresh(error))) is type(both)


@pytest.mark.parametrize("error", [RouterClosed("closed"), PolicyError("p.yaml", ())])
def test_what_openai_knows_nothing_of_stays_ours(error: HybridLLMError) -> None:
    """A closed router is no failure of an API."""
    assert not isinstance(joined(error), openai.OpenAIError)


def test_code_written_for_openai_keeps_its_except_clauses() -> None:
    """In the order that openai's own documentation shows."""

    def handled(error: Exception) -> str:
        try:
            raise error
        except openai.APITimeoutError:
            return "timeout"
        except openai.APIConnectionError:
            return "connection"
        except openai.RateLimitError as limited:
            return f"limited {limited.status_code}"
        except openai.APIStatusError as status:
            return f"status {status.status_code} {status.code}"
        except openai.OpenAIError:
            return "other"

    told = [
        handled(joined(error))
        for error in (
            DeadlineExceeded("late", deadline_s=1.0),
            exhausted(None, "reset"),
            exhausted(429, "429"),
            rejected(400),
            PolicyDenied("no", rule="r"),
        )
    ]
    assert told == ["timeout", "connection", "limited 429", "status 400 c", "other"]


def test_errors_are_what_python_calls_them_too() -> None:
    """A deadline is a TimeoutError, a wrong call a ValueError, a closed router a RuntimeError."""
    assert isinstance(joined(DeadlineExceeded("late", deadline_s=1.0)), TimeoutError)
    assert isinstance(joined(InvalidRequest("wrong")), ValueError)
    assert isinstance(RouterClosed("closed"), RuntimeError)


@pytest.mark.parametrize(("error", "theirs"), TABLE)
def test_an_error_can_be_raised_shown_and_noted(
    error: HybridLLMError, theirs: type[Exception]
) -> None:
    """Nothing of what a logger or a debugger does to it breaks."""
    both: Any = joined(fresh(error))
    both.add_note("seen")
    with pytest.raises(theirs) as caught:
        raise both
    assert repr(caught.value)
    assert f"{caught.value}" == str(error)
