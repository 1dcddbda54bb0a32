-- Version 5.
-- Objectives: what was counted for each SLI of a check, a row for every few minutes in which something was; where its
-- counters stood then, and all that was counted; and how each objective stood at the last look, as people read it.
CREATE TABLE objective_slice (source TEXT NOT NULL, began TEXT NOT NULL, ended TEXT NOT NULL, good REAL NOT NULL,
                              total REAL NOT NULL, seen REAL NOT NULL, seal INTEGER, PRIMARY KEY (source, began));
CREATE INDEX objective_slice_ended ON objective_slice (ended);
CREATE TABLE objective_tally (source TEXT PRIMARY KEY, document TEXT NOT NULL, seal INTEGER);
CREATE TABLE objective_view  (name TEXT PRIMARY KEY, document TEXT NOT NULL, seal INTEGER);
