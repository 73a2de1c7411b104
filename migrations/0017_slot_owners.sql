-- Who is there to drive sagas. Each owner of slots says so every few seconds, and they deal the slots among themselves by who is there
-- (`sagas::deal`); a lease alone decides who drives what. A process of the release before is not listed: it keeps what it holds.
CREATE TABLE slot_owners (
    log         smallint    NOT NULL,
    owner       uuid        NOT NULL,
    -- For people: host and process.
    name        text        NOT NULL,
    app_version text        NOT NULL,
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- It is there until then, unless it says so again.
    until       timestamptz NOT NULL,
    PRIMARY KEY (log, owner)
) WITH (fillfactor = 50);
