"""Sections of a report on inverse design: generators trained, sampled, judged, and what they gave of what was asked.

`results` holds what was measured; `training`, `latent`, `benched` (with its `gallery`) and `obtained` each make one
section of it. `features` are what regressors see that share nothing with a generator.
"""
