-- Only the hash of a key is kept: a key is 256 random bits, so a plain SHA-256 can't be searched.
CREATE TABLE api_keys (
    id         uuid             PRIMARY KEY,
    hash       bytea            NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    name       text             NOT NULL,
    role       text COLLATE "C" NOT NULL CHECK (role IN ('shop', 'warehouse', 'support', 'operator')),
    shop       text COLLATE "C" REFERENCES shops (id),
    created_at timestamptz      NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CHECK (role <> 'shop' OR shop IS NOT NULL)
);
