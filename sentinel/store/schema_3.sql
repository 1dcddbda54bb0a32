-- Version 3.
-- Faults over the time for which they stand: one row from the look that found it to the look that did not. The subject
-- is JSON with sorted labels, so that equal subjects are equal texts; `ended` is NULL while the fault stands.
CREATE TABLE fault       (check_name TEXT NOT NULL, fault TEXT NOT NULL, subject TEXT NOT NULL, began TEXT NOT NULL,
                          ended TEXT, component TEXT NOT NULL, document TEXT NOT NULL,
                          PRIMARY KEY (check_name, fault, subject, began)) WITHOUT ROWID;
CREATE INDEX fault_standing ON fault (check_name) WHERE ended IS NULL;
CREATE INDEX fault_ended ON fault (ended);
