-- Version 2.
-- Who owns which shards (scale.md §4.1). One member owns all of them here; the epoch grows with every start, and a
-- claim of an older epoch is refused.
CREATE TABLE member      (id TEXT PRIMARY KEY, started TEXT NOT NULL, beat TEXT NOT NULL, epoch INTEGER NOT NULL);
CREATE TABLE shard       (n INTEGER PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, watermark TEXT);
-- Attempts whose outcome is not known yet: one look tells whether another action is running.
CREATE INDEX attempt_running ON attempt (component) WHERE json_extract(document, '$.outcome') = '';
-- Runs of runbooks, each step written before it begins and when it ended.
CREATE TABLE runbook_run (id TEXT PRIMARY KEY, began TEXT NOT NULL, state TEXT NOT NULL, document TEXT NOT NULL);
-- Cleaning: reservations of the cap per hour (not settled: all of it counts), plans that wait to be applied, and what is
-- remembered of servers and runs.
CREATE TABLE cleaning    (id INTEGER PRIMARY KEY, chore TEXT NOT NULL, at TEXT NOT NULL, boot TEXT NOT NULL, uptime REAL,
                          reserved INTEGER NOT NULL, done INTEGER);
CREATE INDEX cleaning_chore ON cleaning (chore);
CREATE TABLE clean_plan  (id TEXT PRIMARY KEY, chore TEXT NOT NULL, made TEXT NOT NULL, state TEXT NOT NULL,
                          document TEXT NOT NULL);
CREATE TABLE cleaning_memory (name TEXT PRIMARY KEY, document TEXT NOT NULL);
