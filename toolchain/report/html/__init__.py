"""The report as one offline HTML file: inline style and plots, no script, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Callable

from spikewright.toolchain.report.html import about, cost, machine, questions, result, review
from spikewright.toolchain.report.html.parts import esc
from spikewright.toolchain.report.html.style import CSS, PRINT
from spikewright.toolchain.report.model import Report

SECTIONS: tuple[tuple[str, str, Callable[[Report], str]], ...] = (
    ("accuracy", "Accuracy", result.accuracy),
    ("warnings", "Warnings and assumptions", result.diagnostics),
    ("verdict", "Verdict, block by block", result.verdict),
    ("sops", "Synaptic operations by class and layer", cost.sops),
    ("activity", "Spikes, neuron updates, messages and hops", machine.activity),
    ("latency", "Latency and bottleneck", cost.latency),
    ("energy", "Energy", cost.energy),
    ("review", "For a reviewer", review.review),
    ("utilization", "Utilization of the cores", machine.utilization),
    ("twin", "Beside the same net without attention", result.twin),
    ("equality", "Equality of the backends", result.equality),
    ("drift", "Passes and drift", about.drift),
    ("literature", "Literature convention", about.literature),
    ("prices", "Price table", about.prices),
    ("modelled", "What is modelled, what is not", about.modelled),
    ("glossary", "Glossary", about.glossary),
    ("repeat", "How to repeat it", about.repeat),
)
"""Identifier, title and renderer of every section, in order."""


def to_html(report: Report) -> str:
    """Return the report as one HTML page."""
    links = "".join(f'<a href="#{name}">{esc(title)}</a>' for name, title, _ in SECTIONS)
    body = "".join(
        f'<section id="{name}"><h2>{esc(title)}</h2>{render(report)}</section>\n' for name, title, render in SECTIONS
    )
    return page(report.title, f"{result.header(report)}{questions.questions(report)}<nav>{links}</nav>\n{body}")


def page(title: str, body: str) -> str:
    """Return a whole page in the report's style; ``body`` is HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{esc(title)}</title><style>{CSS}{PRINT}</style></head>\n<body><main>{body}</main></body></html>\n"
    )
