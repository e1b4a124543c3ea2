"""Attention blocks: one paper, one class, one file. Found by the entry point ``spikewright.blocks``; a user's own are too."""

from spikewright.toolchain.attention_block import AttentionBlock as AttentionBlock
from spikewright.toolchain.attention_block import AttentionOps as AttentionOps
from spikewright.toolchain.block_registry import block_class as block_class
from spikewright.toolchain.block_registry import block_of_op as block_of_op
