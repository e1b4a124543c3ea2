"""The report: build it from a deployment and its runs, render it as JSON, CSV, HTML or one terminal screen."""

from spikewright.toolchain.report.build import build_report as build_report
from spikewright.toolchain.report.build import fingerprint as fingerprint
from spikewright.toolchain.report.build import report_on as report_on
from spikewright.toolchain.report.data import to_csv as to_csv
from spikewright.toolchain.report.data import to_data as to_data
from spikewright.toolchain.report.data import to_json as to_json
from spikewright.toolchain.report.html import to_html as to_html
from spikewright.toolchain.report.model import Accuracy as Accuracy
from spikewright.toolchain.report.model import Report as Report
from spikewright.toolchain.report.text import summary_text as summary_text
