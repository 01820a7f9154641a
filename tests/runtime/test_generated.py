"""The generator passes over policies that would not load, and over none that would."""

from __future__ import annotations

from random import Random

import pytest

from hybridllm import PolicyError
from hybridllm._adapters.policy_files import load_policy_text
from runtime import generated


def test_what_is_passed_over_unread_does_not_load() -> None:
    """No test of generated policies misses one; and of those that are read, most load."""
    passed_over = read = refused = 0
    for seed in range(150):
        drawn = generated._drawn(Random(seed))
        text = generated.as_text(drawn)
        if generated.is_surely_refused(drawn):
            passed_over += 1
            with pytest.raises(PolicyError):
                load_policy_text(text, environ={})
            continue
        read += 1
        try:
            load_policy_text(text, environ={})
        except PolicyError:
            refused += 1
    assert passed_over > 50
    assert refused < read / 2
