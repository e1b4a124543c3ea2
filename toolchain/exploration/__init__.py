"""Exploration: one net under many configurations, in one table with its Pareto front; resumable, on a machine or a cluster."""

from spikewright.toolchain.exploration.explore import Exploring as Exploring
from spikewright.toolchain.exploration.explore import explore as explore
from spikewright.toolchain.exploration.result import Exploration as Exploration
