-- How far a reader of the log has come. Written only by the owner of its epoch, in the same transaction as what it stands for.
CREATE TABLE checkpoints (
    name        text COLLATE "C" PRIMARY KEY,
    log         smallint         NOT NULL,
    incarnation integer          NOT NULL,
    position    bigint           NOT NULL CHECK (position >= 0),
    epoch       bigint           NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
