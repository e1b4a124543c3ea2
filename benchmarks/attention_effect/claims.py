"""The answers in plain sentences: does what the papers claim show here, and how much of it is attention? Or can n not tell?"""

from __future__ import annotations

from benchmarks.attention_effect.results import (
    Figure,
    Results,
    chip_uj,
    difference,
    formula_uj,
    item,
    percent,
    percent_change,
    twin,
)
from benchmarks.attention_effect.spread import Spread

MA_SPIKES = -84.9
"""%, MA-SNN, Table 1: DVS128 Gesture, 3-layer net, TCSA against vanilla."""
GAC_ENERGY = 66.9
"""%, GAC, abstract: energy against previous work, which is no vanilla twin."""
ALIVE = 0.5
"""Below this accuracy a net of ten classes has not learnt, and what it saves is worth nothing."""
SPIKES = item("spikes")
FAIR = {
    "ma-relu": "the ReLU alone",
    "ma-gain": "a scalar gain alone",
    "ma-relu-gain": "both together",
    "ma-threshold": "norms that start at the threshold alone",
}


def claims(results: Results, set: str) -> list[str]:
    """Return the sentences of a set."""
    nets = [net for net in results.nets(set) if net != twin(net) and net not in FAIR]
    said = [line for net in nets for line in (_spikes(results, set, net), _accuracy(results, set, net)) if line]
    said += [line for net in nets if (line := _energy(results, set, net))]
    return said + _explained(results, set)


def interval(value: Spread, unit: str, digits: int = 1, *, signed: bool = True) -> str:
    """Return ``mean unit [low, high]``."""
    form = f"{'+' if signed else ''},.{digits}f"
    if value.n == 1:
        return f"{value.mean:{form}}{unit} (one seed, no interval)"
    return f"{value.mean:{form}}{unit} [{value.low:{form}}, {value.high:{form}}]"


def _cannot(value: Spread) -> str:
    return f"n = {value.n} cannot tell" if value.n > 1 else "one seed cannot tell"


def _spikes(results: Results, set: str, net: str) -> str:
    change = results.against(set, net, twin(net), SPIKES, percent_change)
    behind = results.against(set, net, twin(net), item("spikes_behind_stem"), percent_change)
    if change is None or behind is None:
        return ""
    said = f"{net}: spikes {interval(change, ' %')} against the vanilla twin; "
    ma = net.startswith("ma-")
    match change.verdict():
        case "below" if ma:
            size = change.low <= MA_SPIKES <= change.high
            said += f"yes, the direction of MA's {MA_SPIKES} % shows, its size {'too' if size else 'does not'}"
        case "below":
            said += "yes, it spikes less"
        case "above":
            said += "no, it spikes more" + (f", against MA's {MA_SPIKES} %" if ma else "")
        case _:
            said += f"{_cannot(change)} whether it spikes less"
    there = {"below": "less", "above": "more"}.get(behind.verdict(), _cannot(behind))
    return f"{said}. Behind the stem alone {interval(behind, ' %')}: {there}.{_worth(results, set, net)}"


def _worth(results: Results, set: str, net: str) -> str:
    accuracy = results.spread(set, net, item("accuracy"))
    if accuracy is None or accuracy.mean >= ALIVE:
        return ""
    return f" But it has not learnt ({100 * accuracy.mean:.1f} %): no saving counts."


def _accuracy(results: Results, set: str, net: str) -> str:
    found = results.against(set, net, twin(net), item("accuracy", 100.0), difference)
    if found is None:
        return ""
    answer = {"below": "it is less accurate", "above": "it is more accurate"}.get(
        found.verdict(), f"{_cannot(found)} them apart"
    )
    return f"{net}: accuracy {interval(found, ' points', 2)}; {answer}."


def _energy(results: Results, set: str, net: str) -> str:
    def of(figure: Figure) -> Spread | None:
        return results.against(set, net, twin(net), figure, percent)

    published, complete, chip = of(formula_uj("published")), of(formula_uj("complete")), of(chip_uj("total"))
    if published is None or complete is None:
        return ""
    said = (
        f"{net}: energy in % of the vanilla twin's, by the formula as published {interval(published, ' %', signed=False)} "
        f"({_less(published)}), complete {interval(complete, ' %', signed=False)} ({_less(complete)})"
    )
    said += f", on our chip {interval(chip, ' %', signed=False)} ({_less(chip)})" if chip is not None else ", chip: -"
    if net.startswith("gac-"):
        said += f"; GAC claims {GAC_ENERGY} %, of previous work"
    return f"{said}.{_worth(results, set, net)}"


def _less(value: Spread) -> str:
    return {"below": "less", "above": "no, more"}.get(value.verdict(100.0), _cannot(value))


def _explained(results: Results, set: str) -> list[str]:
    """Say how much of MA's (released code) change of spikes its ReLU and its gates' mean make by themselves."""
    whole = results.against(set, "ma-code", twin("ma-code"), SPIKES, percent_change)
    if whole is None:
        return []
    said = [
        f"{net} ({what}, no attention): spikes {interval(change, ' %')} against the vanilla twin.{_worth(results, set, net)}"
        for net, what in FAIR.items()
        if (change := results.against(set, net, twin(net), SPIKES, percent_change)) is not None
    ]
    if whole.verdict() != "below":
        why = _cannot(whole) if whole.verdict() == "open" else "it spikes more"
        said.append(f"ma-code: does MA save spikes? {why}; so there is no saving whose share could be explained.")
    elif not _worth(results, set, "ma-code"):
        said += [line for net in FAIR if (line := _share(results, set, net))]
    for net, fair in (("ma-code", "ma-relu-gain"), ("ma-published", "ma-gain")):
        rest = results.against(set, net, fair, SPIKES, percent_change)
        if rest is not None:
            answer = {"below": "attention saves more than that", "above": "attention saves less than that"}.get(
                rest.verdict(), f"{_cannot(rest)} attention from it"
            )
            said.append(f"{net} against its fair twin {fair}: spikes {interval(rest, ' %')}; {answer}.")
    return said + _gains(results, set)


def _share(results: Results, set: str, net: str) -> str:
    """Return the sentence on (vanilla - twin) / (vanilla - code); the mean over seeds of both, since single ratios are wild."""
    saved = results.against(set, net, twin(net), SPIKES, difference)
    whole = results.against(set, "ma-code", twin(net), SPIKES, difference)
    if saved is None or whole is None:
        return ""
    known = "" if saved.verdict() != "open" else f" ({_cannot(saved)} it from 0)"
    share = 100 * saved.mean / whole.mean
    return f"Of the spikes that ma-code saves, {share:.0f} % go with {FAIR[net]}{known}."


def _gains(results: Results, set: str) -> list[str]:
    def shown(net: str) -> str:
        rows = [results.found[set, net, seed]["gains"] for seed in results.seeds(set, net)]
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)] if rows else []
        return ", ".join(f"{mean:.3f}" for mean in means)

    code, gain, both = (shown(net) for net in ("ma-code", "ma-gain", "ma-relu-gain"))
    if not code:
        return []
    return [f"Mean gain a layer: ma-code {code}; learnt scalars: ma-gain {gain or '-'}, ma-relu-gain {both or '-'}."]
