"""The first act: a region dies under traffic, and nobody notices."""
