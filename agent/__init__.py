"""Attaché: who is calling, may they, and what do we send on?"""

__version__ = "0.1.0"
