"""Dashboards as code: what Grafana shows of sentinel, as values, and what is made of them.

`boards/` says what is shown, one file a dashboard; `classic.py` makes Grafana's JSON of it with the
foundation SDK; `schema.py` and `lint.py` judge that JSON; `live.py` asks every one of its queries of
a real Prometheus, and `picture.py` draws the answers.
"""
