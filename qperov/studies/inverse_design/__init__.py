"""Sections of a report on inverse design: generators trained, sampled, judged, and how near they came to a target.

`results` holds what was measured; `training`, `latent`, `bench` (with its `gallery`) and `nearness` each make one
section of it. `features` are what regressors see that share nothing with a generator.
"""
