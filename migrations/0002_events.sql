-- The log. Append only: `append_batch` inserts, nothing else writes.
CREATE TABLE events (
    position       bigint           NOT NULL,
    recorded_at    timestamptz      NOT NULL,
    stream_id      uuid             NOT NULL,
    command_id     uuid             NOT NULL,
    incarnation    integer          NOT NULL,
    version        integer          NOT NULL CHECK (version > 0),
    log            smallint         NOT NULL,
    schema_version smallint         NOT NULL,
    stream_kind    text COLLATE "C" NOT NULL,
    type           text COLLATE "C" NOT NULL CHECK (type <> ''),
    shop           text COLLATE "C" NOT NULL,
    -- `json`, not `jsonb`: the text is kept byte for byte, so that every reader sees what was appended.
    metadata       json             NOT NULL,
    payload        json             NOT NULL CHECK (octet_length(payload::text) <= 262144),
    PRIMARY KEY (log, position),
    CONSTRAINT events_stream_version UNIQUE (stream_id, stream_kind, version)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never changed: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
