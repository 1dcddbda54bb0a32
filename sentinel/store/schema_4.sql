-- Version 4.
-- Each row has a seal, a checksum over its other columns (sentinel/store/table.py): a flipped bit is noticed, and the row
-- is set aside into `damaged` with what it held, as an SQL literal.
CREATE TABLE damaged     (id INTEGER PRIMARY KEY, at TEXT NOT NULL, source TEXT NOT NULL, why TEXT NOT NULL, content BLOB NOT NULL,
                          lost TEXT NOT NULL, seen INTEGER NOT NULL DEFAULT 0);
-- A document that is no JSON must not stand in the way of its own removal.
DROP INDEX attempt_running;
CREATE INDEX attempt_running ON attempt (component)
    WHERE CASE WHEN json_valid(document) THEN json_extract(document, '$.outcome') = '' END;
-- Faults under a row id, as all the others.
CREATE TABLE fault_4     (check_name TEXT NOT NULL, fault TEXT NOT NULL, subject TEXT NOT NULL, began TEXT NOT NULL,
                          ended TEXT, component TEXT NOT NULL, document TEXT NOT NULL,
                          PRIMARY KEY (check_name, fault, subject, began));
INSERT INTO fault_4 SELECT check_name, fault, subject, began, ended, component, document FROM fault;
DROP TABLE fault;
ALTER TABLE fault_4 RENAME TO fault;
CREATE INDEX fault_standing ON fault (check_name) WHERE ended IS NULL;
CREATE INDEX fault_ended ON fault (ended);
-- What retention looks for, step by step.
CREATE INDEX attempt_intended ON attempt (intended);
CREATE INDEX incident_state ON incident (state, opened);
CREATE INDEX gap_ended ON gap (ended);
CREATE INDEX orders_done ON orders (done);
CREATE INDEX report_at ON report (at);
CREATE INDEX runbook_run_began ON runbook_run (began);
CREATE INDEX cleaning_at ON cleaning (at);
CREATE INDEX clean_plan_made ON clean_plan (made);
-- The seals.
ALTER TABLE meta ADD COLUMN seal INTEGER;
ALTER TABLE check_view ADD COLUMN seal INTEGER;
ALTER TABLE component_view ADD COLUMN seal INTEGER;
ALTER TABLE health ADD COLUMN seal INTEGER;
ALTER TABLE probe_state ADD COLUMN seal INTEGER;
ALTER TABLE transition ADD COLUMN seal INTEGER;
ALTER TABLE incident ADD COLUMN seal INTEGER;
ALTER TABLE event ADD COLUMN seal INTEGER;
ALTER TABLE attempt ADD COLUMN seal INTEGER;
ALTER TABLE process ADD COLUMN seal INTEGER;
ALTER TABLE gap ADD COLUMN seal INTEGER;
ALTER TABLE sample ADD COLUMN seal INTEGER;
ALTER TABLE orders ADD COLUMN seal INTEGER;
ALTER TABLE report ADD COLUMN seal INTEGER;
ALTER TABLE member ADD COLUMN seal INTEGER;
ALTER TABLE shard ADD COLUMN seal INTEGER;
ALTER TABLE runbook_run ADD COLUMN seal INTEGER;
ALTER TABLE cleaning ADD COLUMN seal INTEGER;
ALTER TABLE clean_plan ADD COLUMN seal INTEGER;
ALTER TABLE cleaning_memory ADD COLUMN seal INTEGER;
ALTER TABLE fault ADD COLUMN seal INTEGER;
