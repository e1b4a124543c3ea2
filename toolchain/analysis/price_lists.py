"""Price lists: published energies an event, one YAML file each, laid on the same ledger of a run.

A list prices what its source prices and no more; what it leaves out is named beside its sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import yaml

from spikewright.hw_sim import Price
from spikewright.hw_sim.costs import worst_basis
from spikewright.hw_sim.files import read_whole
from spikewright.hw_sim.names import did_you_mean
from spikewright.hw_sim.sourced_yaml import LONGEST, SourcedYaml
from spikewright.toolchain.analysis.energy import PICO, banded
from spikewright.toolchain.analysis.ledger import COUNTS, FIXED, Ledger
from spikewright.toolchain.analysis.quantity import Quantity, total
from spikewright.toolchain.errors import InputError


@dataclass(frozen=True)
class PriceList:
    """Energies by the names of ``ledger.COUNTS``, pJ each.

    Args:
        name: Of the list.
        description: What it is, and at which technology and precision.
        energies: Prices by count.
        sources: Where they are from.
    """

    name: str
    description: str
    energies: Mapping[str, Price]
    sources: Mapping[str, str]


@dataclass(frozen=True)
class Priced:
    """A ledger under a list.

    Args:
        name: Of the list.
        items: Energy by count, J a sample.
        left_out: Counts that are not 0 and that the list does not price.
    """

    name: str
    items: Mapping[str, Quantity]
    left_out: tuple[str, ...]

    @property
    def total(self) -> Quantity:
        """Sum of the items, J a sample."""
        return total(self.items.values(), "J")

    @property
    def fixed(self) -> float:
        """What does not fall with the spike rate, J a sample."""
        return sum(item.value for name, item in self.items.items() if name in FIXED)


def list_prices() -> tuple[str, ...]:
    """Return the names of the lists that ship."""
    folder = resources.files(__package__) / "prices"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def load_prices(name_or_path: str | Path) -> PriceList:
    """Read a list that ships by its name, or any file by its path.

    Raises:
        InputError: No such list, or the file has an unknown, unsourced or unitless entry (named by line).
    """
    name = str(name_or_path)
    if name in list_prices():
        return _shipped(name)
    try:
        if not Path(name).exists():
            raise FileNotFoundError(2, "no such file can be read")
        return _read(read_whole(name, LONGEST).decode("utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(
            f"no price list of this name ships ({', '.join(list_prices())}), and {why}",
            where=f"price list {name!r}",
            help=f"{did_you_mean(name, list_prices())}use one of these names, or the path of a YAML file",
        ) from error


@cache
def _shipped(name: str) -> PriceList:
    return _read((resources.files(__package__) / "prices" / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")


def _read(text: str, where: str) -> PriceList:
    reader = SourcedYaml(where, InputError)
    top = reader.mapping(reader.root(text), ("prices", "description", "energies", "sources"))
    reader.sources = {key: reader.text(node) for key, node in reader.mapping(top["sources"], None).items()}
    energies: dict[str, Price] = {}
    for name, node in reader.mapping(top["energies"], None).items():
        if name not in COUNTS:
            help = f"{did_you_mean(name, COUNTS)}price one of {', '.join(COUNTS)}"
            raise reader.fail(node, f"no count is called {name!r}", help)
        energies[name] = reader.price(node, "pJ")
    if not energies:
        raise reader.fail(_node(top), "prices nothing", f"price one of {', '.join(COUNTS)}")
    return PriceList(reader.text(top["prices"]), reader.text(top["description"]), energies, reader.sources)


def _node(top: Mapping[str, yaml.Node]) -> yaml.Node:
    return top["energies"]


def price(ledger: Ledger, prices: PriceList) -> Priced:
    """Return a ledger under a list. In J, per sample."""
    items = {}
    for name, one in prices.energies.items():
        if ledger.counts.get(name):
            basis = worst_basis([one.basis, "assumed" if name in ledger.assumed else "simulated"])
            unit = banded(one.nominal * PICO, basis, one.low * PICO, one.high * PICO)
            items[name] = unit.times(ledger.counts[name])
    left = tuple(name for name, count in ledger.counts.items() if count and name not in prices.energies)
    return Priced(prices.name, items, left)
