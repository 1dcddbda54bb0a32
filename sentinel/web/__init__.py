"""The status page, the API and /metrics. Everything here reads; what somebody orders is handed to the
desk of the daemon (`desk.py`), which carries it out as the command line does.
"""
