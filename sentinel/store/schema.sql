-- Version 1. Instants are ISO 8601 in UTC with microseconds, so that text order is time order.
CREATE TABLE meta        (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE check_view  (name TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE component_view (name TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE health      (name TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE probe_state (name TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE transition  (id INTEGER PRIMARY KEY, at TEXT NOT NULL, subject TEXT NOT NULL, scope TEXT NOT NULL,
                          before TEXT NOT NULL, after TEXT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX transition_at ON transition (at);
CREATE TABLE incident    (id TEXT PRIMARY KEY, component TEXT NOT NULL, opened TEXT NOT NULL, state TEXT NOT NULL,
                          document TEXT NOT NULL);
CREATE INDEX incident_opened ON incident (opened);
CREATE TABLE event       (id INTEGER PRIMARY KEY, incident TEXT NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL,
                          text TEXT NOT NULL, evidence TEXT NOT NULL);
CREATE INDEX event_incident ON event (incident);
-- The journal: the primary key is the fence; a row is a spent attempt whatever became of it.
CREATE TABLE attempt     (incident TEXT NOT NULL, n INTEGER NOT NULL, component TEXT NOT NULL, intended TEXT NOT NULL,
                          document TEXT NOT NULL, PRIMARY KEY (incident, n));
CREATE INDEX attempt_component ON attempt (component, intended);
CREATE TABLE process     (component TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE gap         (began TEXT NOT NULL, ended TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE sample      (at TEXT NOT NULL, name TEXT NOT NULL, measurement TEXT NOT NULL, labels TEXT NOT NULL,
                          value REAL NOT NULL);
CREATE INDEX sample_at ON sample (at);
CREATE TABLE orders      (key TEXT PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
                          payload TEXT NOT NULL, outcome TEXT, done TEXT);
CREATE TABLE audit       (id INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
                          subject TEXT NOT NULL, detail TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE report      (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, at TEXT NOT NULL, paths TEXT NOT NULL, facts TEXT NOT NULL);
