"""`hybridllm break-even`: from options, a file, the planning documents or a ledger to an answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli import hints, ledger_options
from hybridllm.cli.break_even import options
from hybridllm.cli.output import note, print_json
from hybridllm.cli.pictures import ready_to_draw, save
from hybridllm.cli.policy_files import policy_path

if TYPE_CHECKING:
    from hybridllm.economics import Answer, Scenario

_OF_EACH = ("price", "input_share", "cached")


def break_even(
    file: options.File = None,
    *,
    scenario: options.Source = None,
    list_scenarios: options.ListScenarios = False,
    facts: options.Facts = False,
    ledger: options.LedgerPlace = None,
    policy: options.PolicyName = None,
    since: ledger_options.Since = "30d",
    model: options.Models = None,
    also: options.Also = None,
    price: options.ApiPrice = None,
    tokens_per_day: options.TokensPerDay = None,
    input_share: options.InputShare = None,
    cached: options.Cached = None,
    gpu: options.Gpu = None,
    purchase: options.PurchaseForm = None,
    gpu_usd_per_month: options.GpuUsd = None,
    gpu_tokens_per_day: options.GpuTokens = None,
    utilisation: options.Utilisation = None,
    redundancy: options.Redundancy = None,
    regions: options.Regions = None,
    hidden: options.HiddenCosts = None,
    engineers: options.Engineers = None,
    engineer_share: options.EngineerShare = None,
    engineer_usd_per_year: options.EngineerUsd = None,
    growth: options.Growth = None,
    price_decline: options.PriceDecline = None,
    gpu_price_decline: options.GpuPriceDecline = None,
    months: options.Months = None,
    days_per_month: options.DaysPerMonth = None,
    residency: options.ResidencyRule = None,
    idle_gpus: options.IdleGpus = False,
    environment: options.EnvironmentName = None,
    stable_days: options.StableDays = None,
    plot: options.Plot = None,
    as_json: hints.AsJson = False,
) -> None:
    """Tell what traffic costs at an API and on own machines, where the two cross, and what follows.

    Example: hybridllm break-even --model gpt-4o --tokens-per-day 200M --input-share 0.7 --gpu 8xA100-80GB

    Figures may be ranges, LOW..HIGH or LOW..LIKELY..HIGH. Nothing is sent to anybody.
    """
    given = dict(locals())
    if facts or list_scenarios:
        from hybridllm.cli.break_even import sources

        (sources.tell_facts if facts else sources.tell_scenarios)(as_json=as_json)
        return
    if plot is not None:
        ready_to_draw(plot)
    with ledger_options.questions_told(as_json=as_json):
        found = _scenario(given)
        from hybridllm.economics import break_even as weighed

        answer = weighed(found)
    _shown(answer, plot=plot, as_json=as_json)


def _shown(answer: Answer, *, plot: Path | None, as_json: bool) -> None:
    if plot is not None:
        from hybridllm.cli.break_even.plots import draw as drawn

        save(drawn(answer), plot)
    if as_json:
        print_json({"ok": True, **answer.to_dict()})
        return
    from hybridllm.cli.break_even.draw import draw

    draw(answer)
    if plot is not None:
        note(f"\n{plot}")


def _scenario(given: Mapping[str, Any]) -> Scenario:
    from hybridllm import check, economics, errors

    file, source, ledger = given["file"], given["scenario"], given["ledger"]
    named = [
        name for name, one in (("FILE", file), ("--scenario", source), ("--ledger", ledger)) if one
    ]
    if len(named) > 1:
        raise typer.BadParameter(f"{' and '.join(named)}: take one of them")
    if given["policy"] is not None and ledger is None:
        raise typer.BadParameter(
            "--policy goes with --ledger: it says what the ledger's models cost"
        )
    keys = _keys(given)
    rules = None
    if given["policy"] is not None:
        rules = check(policy_path(given["policy"])).policy
    try:
        if file is not None:
            return economics.scenario_file(file, **keys)
        if source is not None:
            return economics.source_scenario(source, **keys)
        if ledger is not None:
            return economics.ledger_scenario(ledger, since=given["since"], policy=rules, **keys)
        return economics.scenario(**keys)
    except errors.PolicyError as error:
        # What stands nowhere in a file was typed, or it is the file as a whole.
        if given["as_json"] or any(one.line for one in error.problems):
            raise
        where = "" if file is None else f"{file}: "
        told = [
            f"{_option(one.path)}: {one.message}" if one.path else f"{where}{one.message}"
            for one in error.problems
        ]
        raise typer.BadParameter("\n".join(told)) from None


def _option(path: str) -> str:
    return f"--{path.partition('.')[0].partition('[')[0].replace('_', '-')}".replace(
        "--models", "--model"
    )


def _keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as a scenario file would have them."""
    not_keys = {
        "file", "scenario", "list_scenarios", "facts", "ledger", "policy", "since", "model", "also", "hidden",
        "plot", "as_json", "idle_gpus",
    }  # fmt: skip
    keys = {key: value for key, value in given.items() if key not in not_keys and value is not None}
    if given["idle_gpus"]:
        keys["idle_gpus"] = True
    if given["also"]:
        keys["also"] = hints.listed(given["also"])
    if given["hidden"]:
        keys["hidden"] = _hidden(given["hidden"])
    return _with_models(keys, given["model"] or [])


def _hidden(texts: list[str]) -> Any:
    if texts in (["none"], ["source"]):
        return texts[0]
    return hints.pairs("--hidden", texts)


def _with_models(keys: dict[str, Any], names: list[str]) -> dict[str, Any]:
    if not names:
        return keys
    if len(names) == 1 and "=" not in names[0]:
        return keys | {"model": names[0]}
    shares = hints.pairs("--model", names)
    of_each = {key: keys.pop(key) for key in _OF_EACH if key in keys}
    return keys | {"models": {name: {"share": share} | of_each for name, share in shares.items()}}
