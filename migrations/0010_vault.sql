-- Personal data. The keys lie in a schema of their own, so that they can be dumped, kept and guarded apart from what they open.
CREATE SCHEMA vault;

-- One data key a person, wrapped under the master key of that id. Erasing a person is erasing `wrapped`.
CREATE TABLE vault.person_keys (
    person     uuid             PRIMARY KEY,
    shop       text COLLATE "C" NOT NULL,
    -- The shop's own name for the person; stays in events too.
    ref        text COLLATE "C" NOT NULL,
    master_key text COLLATE "C" NOT NULL,
    wrapped    bytea,
    created_at timestamptz      NOT NULL DEFAULT now(),
    erased_at  timestamptz,
    CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL))
);

-- Who comes back after having been erased is a new person.
CREATE UNIQUE INDEX person_keys_ref ON vault.person_keys (shop, ref) WHERE wrapped IS NOT NULL;

-- What is known of the person behind a subject (an order), sealed under the person's key.
CREATE TABLE vault_entries (
    subject uuid  PRIMARY KEY,
    person  uuid  NOT NULL,
    sealed  bytea NOT NULL
);
