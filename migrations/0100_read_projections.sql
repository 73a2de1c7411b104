-- The read side. Every row here is a function of the log alone: drop the schema, replay, and it is the same again.
CREATE SCHEMA read;

-- How far each projection has come. Moved in the same transaction as the rows it stands for, and only from the position before.
CREATE TABLE read.projections (
    name        text COLLATE "C" PRIMARY KEY,
    -- Raised when the same events make other rows: then it is built anew.
    version     integer          NOT NULL,
    log         smallint         NOT NULL,
    incarnation integer          NOT NULL,
    position    bigint           NOT NULL CHECK (position >= 0),
    updated_at  timestamptz      NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
