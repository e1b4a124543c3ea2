"""Mapping: integer graph -> program; partition (neurons to core-sized parts), place (parts to cores), assemble."""

from toolchain.mapping.greedy import map_graph as map_graph
