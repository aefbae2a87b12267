"""Hauberk: a runtime-security agent and event pipeline for Linux, in KubeArmor's words."""

__version__ = "0.1.0"
