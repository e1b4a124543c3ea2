"""The report: build it from a deployment and its runs, render it as JSON, CSV, HTML or one terminal screen."""

from toolchain.report.build import build_report as build_report
from toolchain.report.build import fingerprint as fingerprint
from toolchain.report.data import to_csv as to_csv
from toolchain.report.data import to_data as to_data
from toolchain.report.data import to_json as to_json
from toolchain.report.html import to_html as to_html
from toolchain.report.model import Accuracy as Accuracy
from toolchain.report.model import Report as Report
from toolchain.report.model import Verdict as Verdict
from toolchain.report.text import summary_text as summary_text
