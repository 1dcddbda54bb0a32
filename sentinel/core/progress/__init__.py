"""How far a piece of work is: milestones bound to evidence, critical path, forecast, readiness."""
