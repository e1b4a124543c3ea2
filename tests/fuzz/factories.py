"""Sources of factories: one that works, and many that raise, return or hold what no factory should."""

from __future__ import annotations

GOOD = """
import torch
from torch import nn
from spikewright.models.neurons import lif


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 4)
        self.lif = lif("N1")
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.lif(self.fc(x))).mean(0)


def make():
    torch.manual_seed(0)
    net = Net()
    net.example_input = (torch.rand(4, 2, 5) < 0.5).float()
    return net
"""

RAISING = ("SystemExit(3)", "GeneratorExit()", "BaseExceptionGroup('g', [SystemExit(1)])", "MemoryError()", "Silent()",
           "RecursionError()", "StopIteration()", "UnicodeDecodeError('utf-8', b'x', 0, 1, '\\x1b')", "OSError(28, 'full')",
           "KeyError(object())", "Warning('w')", "Exception('\\ud800')")  # fmt: skip
SILENT = """

class Silent(Exception):
    def __str__(self):
        raise ValueError("no text")


"""
EXAMPLES = (
    "torch.zeros(4, 2, 5, device='meta')", "torch.rand(4, 2, 5).to_sparse()", "torch.nested.nested_tensor([torch.rand(2, 5)])",
    "torch.quantize_per_tensor(torch.rand(4, 2, 5), 0.1, 0, torch.quint8)", "torch.full((4, 2, 5), float('nan'))",
    "torch.rand(4, 2, 5).bfloat16()", "torch.rand(4, 2, 5, dtype=torch.complex64)", "torch.zeros(0, 2, 5)", "torch.rand(5)",
    "torch.ones(4, 2, 5, dtype=torch.bool)", "torch.rand(4, 2, 6)", "None", "[1, 2]", "torch.zeros(4, 2, 5)", "'x'",
    "torch.rand(4, 2, 5, requires_grad=True) * 2",
)  # fmt: skip
NETS = ("net.half()", "net.bfloat16()", "net.double()", "net.to('meta')", "nn.Sequential()", "lambda x: x", "type(net)", "None",
        "(net,)", "(net, net)", "torch.jit.script(nn.Linear(5, 3))", "nn.DataParallel(net)", "(net, 1, 2)",
        "torch.ao.quantization.quantize_dynamic(nn.Linear(5, 3))")  # fmt: skip
FORWARDS = (
    "return x.detach().numpy()", "return self.out(self.lif(self.fc(x)))", "return x[0]", "return self.fc(x).sort()[0]",
    "return None", "return self.out(x.mean(0))", "exit(3)", "import sys; sys.exit()", "raise Silent()",
    "return self.out(self.lif(self.fc(x)).cumsum(0)).mean(0)", "return {'y': x}", "return self.out(self.lif(self.fc(x)) ** 2)",
    "return self.out(torch.where(x > 0, x, -x)[..., :4]).mean(0)", "self.fc = None; return x", "return x.tolist()",
)  # fmt: skip

SOURCES: tuple[str, ...] = (
    GOOD,
    "",
    "make = 3\n",
    "import nothing_like_this\n",
    "def make(:\n",
    "\x00",
    "def make(n): return n\n",
    "import sys; sys.stdout.close()\n" + GOOD,
    "import warnings; warnings.simplefilter('error')\n" + GOOD,
    "class make:\n    def __call__(self): pass\n",
    *(f"{SILENT}raise {one}\n" for one in RAISING),
    *(f"{SILENT}def make():\n    raise {one}\n" for one in RAISING),
    *(GOOD.replace("(torch.rand(4, 2, 5) < 0.5).float()", one) for one in EXAMPLES),
    *(GOOD.replace("    return net\n", f"    return {one}\n") for one in NETS),
    *(SILENT + GOOD.replace("return self.out(self.lif(self.fc(x))).mean(0)", one) for one in FORWARDS),
)
