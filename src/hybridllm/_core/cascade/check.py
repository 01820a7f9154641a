"""Whether an answer passes its cascade's checks; if not, why, in words that hold nothing of the answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from hybridllm._core.cascade.rule import Cascade, folded
from hybridllm._core.cascade.said import Asked, CascadeAnswer, Choice, read_json


def doubt(cascade: Cascade, asked: Asked, said: Sequence[Choice]) -> str | None:
    """Return why an answer does not pass; None: it does.

    Of several choices each must pass. What an answer does not tell (a model without log-probabilities) is no
    reason against it. A check of the application's own that fails is one: nobody has said that the answer is
    good.

    Args:
        cascade: The checks.
        asked: What the request asked of the answer's form.
        said: The choices of the answer.
    """
    for check in (_phrase, _shortness, _logprob, _shape):
        for choice in said:
            why = check(cascade, asked, choice)
            if why is not None:
                return why
    return _own(cascade, asked, said)


Check = Callable[[Cascade, Asked, Choice], str | None]


def _phrase(cascade: Cascade, asked: Asked, choice: Choice) -> str | None:
    if not cascade.phrases or not choice.text:
        return None
    text = folded(choice.text)
    for phrase in cascade.phrases:
        if phrase in text:
            return f"it says {phrase!r}"
    return None


def _shortness(cascade: Cascade, asked: Asked, choice: Choice) -> str | None:
    if cascade.min_chars is None or asked.wants_json or choice.tools:
        return None
    chars = len(choice.text.strip())
    if chars >= cascade.min_chars:
        return None
    return f"it has {chars} characters, min_chars is {cascade.min_chars}"


def _logprob(cascade: Cascade, asked: Asked, choice: Choice) -> str | None:
    if cascade.low_logprob is None or not choice.logprobs:
        return None
    mean = sum(choice.logprobs) / len(choice.logprobs)
    if mean >= cascade.low_logprob:
        return None
    return f"its mean log-probability is {mean:.2f}, low_logprob is {cascade.low_logprob:g}"


def _shape(cascade: Cascade, asked: Asked, choice: Choice) -> str | None:
    if not cascade.schema_invalid:
        return None
    for name, arguments in choice.tools:
        why = _misfit(cascade, arguments or "{}", asked.tools.get(name))
        if why is not None:
            return f"the arguments of a tool {why}"
    if not asked.wants_json or choice.tools:
        return None
    why = _misfit(cascade, choice.text, asked.schema)
    return None if why is None else f"it {why}"


def _misfit(cascade: Cascade, text: str, schema: object) -> str | None:
    value, is_json = read_json(text)
    if not is_json:
        return "is no JSON"
    return None if cascade.misfit is None else cascade.misfit(value, schema)


def _own(cascade: Cascade, asked: Asked, said: Sequence[Choice]) -> str | None:
    if cascade.function is None or not said:
        return None
    first = said[0]
    parsed = read_json(first.text)[0] if asked.wants_json else None
    tools = tuple((name, arguments) for name, arguments in first.tools)
    try:
        found = cascade.function(CascadeAnswer(first.text, parsed, asked.task, tools))
    except Exception as error:  # noqa: BLE001 - the application's own code may raise anything; the request goes on
        return f"{cascade.python} failed ({type(error).__name__})"
    if found is True or found is False or found is None:
        return f"{cascade.python} says so" if found else None
    if inspect.iscoroutine(found):
        found.close()
    return f"{cascade.python} returned {type(found).__name__}, not True or False"
