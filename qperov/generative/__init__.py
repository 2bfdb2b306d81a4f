"""Generators of crystals: representations that invert, models trained on them, and a bench that judges what they make.

A `representation` turns crystals into arrays of fixed shape and such arrays back into crystals: `ftcp`, `tlvae_image`
and `voxels`. All of them start from the same `canonical_cells`, in which neither the order of the sites nor the
orientation of the cell matters any more; `element_properties` is their table of elements. A `generative_model` learns
such arrays, and new crystals are decoded from points of its `latent` space; `validation` says how many of them hold.
"""
