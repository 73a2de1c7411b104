-- How far a reader of the log has come; it only goes forward. Written by `append_batch` alone, with what the reader appends.
CREATE TABLE checkpoints (
    log           smallint         NOT NULL,
    name          text COLLATE "C" NOT NULL,
    incarnation   integer          NOT NULL,
    position      bigint           NOT NULL CHECK (position >= 0),
    -- The append that put it there, where the log stood after it, and when: an append without events recognises itself by them.
    command_id    uuid             NOT NULL,
    last_position bigint           NOT NULL,
    recorded_at   timestamptz      NOT NULL,
    PRIMARY KEY (log, name)
) WITH (fillfactor = 50);
