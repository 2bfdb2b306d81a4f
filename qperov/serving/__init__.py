"""Serving: trained pipelines kept on disk in files that run no code, and used on new crystals and measured patterns."""
