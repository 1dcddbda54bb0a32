"""The bus: what was published, delivered, acknowledged, lost; what pends and what must be cleaned.
Pure.
"""
