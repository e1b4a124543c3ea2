"""The networks: spiking neurons, attention (one file a paper), nets, data, training, and the checkpoints that ship.

Importing this package, ``models.datasets``, ``models.zoo`` or ``models.commands`` does not import torch.
"""
