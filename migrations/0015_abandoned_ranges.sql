-- What an earlier life of a log told the world and the store has lost: a row says that somebody looked at it and wrote it down. Only then
-- is anything written after it where the world reads.
CREATE TABLE abandoned_ranges (
    log           smallint    NOT NULL,
    -- The life that wrote them.
    incarnation   integer     NOT NULL CHECK (incarnation > 0),
    from_position bigint      NOT NULL CHECK (from_position > 0),
    to_position   bigint      NOT NULL CHECK (to_position >= from_position),
    events        bigint      NOT NULL,
    streams       bigint      NOT NULL,
    -- How many there were of each type.
    types         jsonb       NOT NULL,
    -- Where each of them was written down.
    file          text        NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (log, incarnation, from_position)
);
