-- What is due, and for the owner of a slot the list of all that is under way.
CREATE TABLE timers (
    stream_id   uuid             NOT NULL,
    due_at      timestamptz      NOT NULL,
    log         smallint         NOT NULL,
    slot        smallint         NOT NULL CHECK (slot BETWEEN 0 AND 255),
    stream_kind text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    PRIMARY KEY (stream_id, stream_kind, name)
);

CREATE INDEX timers_due ON timers (log, slot, due_at, stream_id);
