CREATE TABLE shops (
    id         text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    -- An IANA name; times given without an offset are in it.
    time_zone  text             NOT NULL,
    -- What an order of this shop may leave out. Not personal data.
    defaults   jsonb            NOT NULL DEFAULT '{}',
    created_at timestamptz      NOT NULL DEFAULT now()
);
