-- (scope, key) is unique for ever: idempotency keys, order refs, receipt refs.
CREATE TABLE claims (
    scope       text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    position    bigint           NOT NULL,
    log         smallint         NOT NULL,
    holder      text             NOT NULL,
    -- What was asked for under the key, to tell a repeat from a reuse.
    fingerprint bytea            CHECK (octet_length(fingerprint) = 32),
    PRIMARY KEY (scope, key)
);
