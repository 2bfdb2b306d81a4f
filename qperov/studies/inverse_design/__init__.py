"""Inverse design: generators trained, sampled and judged, and the sections of a report that say how near they came.

`design` does all of it, by the settings of a `task`, with `generators`, `regressors` that generate nothing (on
`features`), `samples` of all and the `standards` that TL-VAE held its crystals against. `results` holds what was
measured; `training`, `latent`, `bench` (with its `gallery`) and `nearness` each make one section of it.
"""
