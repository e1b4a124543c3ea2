"""Deployed autoencoders: two chip programs, encoder and decoder, with the latent and the read-out on the host."""

from spikewright.toolchain.autoencoders.bundle import load as load
from spikewright.toolchain.autoencoders.deployment import AutoencoderDeployment as AutoencoderDeployment
from spikewright.toolchain.autoencoders.deployment import deploy_autoencoder as deploy_autoencoder
