"""Agents wherever they register: tables, hashes, keys, files."""
