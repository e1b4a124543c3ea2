"""ONNX both ways: a deployed net and its host part as files any runtime loads, and such a file as a MODEL."""

from spikewright.export.onnx.agreement import Agreement as Agreement
from spikewright.export.onnx.agreement import NetAgreement as NetAgreement
from spikewright.export.onnx.agreement import agreement as agreement
from spikewright.export.onnx.agreement import net_agreement as net_agreement
from spikewright.export.onnx.bundle_files import export_onnx as export_onnx
from spikewright.export.onnx.model import host_model as host_model
from spikewright.export.onnx.model import net_model as net_model
from spikewright.export.onnx.reading import import_onnx as import_onnx
from spikewright.export.onnx.record import recorded as recorded
