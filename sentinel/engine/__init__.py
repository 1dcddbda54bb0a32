"""The only orchestration: the scheduler owns time, the runner runs once, the pipeline decides, the
dispatcher acts.
"""
