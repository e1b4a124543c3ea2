"""From a trained torch module to a NIR graph: ``capture`` traces, converts and checks; ``load_factory`` finds a user's net."""

from spikewright.export.torch_to_nir.capture import capture as capture
from spikewright.export.torch_to_nir.factory import load_factory as load_factory
