-- Master keys that change, and people who leave. Everything here that opens personal data lies in the schema `vault`.

-- Which master keys there were: their ids, never the keys. The newest one wraps; a key freshly wrapped under an earlier one is refused.
CREATE TABLE vault.master_keys (
    generation integer          GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text COLLATE "C" NOT NULL UNIQUE,
    since      timestamptz      NOT NULL DEFAULT now()
);

-- Keys that belong to no person, each wrapped under the master key of that id: the one that bodies are compared by.
CREATE TABLE vault.secrets (
    name       text COLLATE "C" PRIMARY KEY,
    master_key text COLLATE "C" NOT NULL,
    wrapped    bytea            NOT NULL
);

-- Who is to be erased gives up the ref at once, so that it may stand for a new person while orders of the old one are under way:
-- `ref` is then no name that a shop knows, and this is what it was.
ALTER TABLE vault.person_keys ADD COLUMN former_ref text COLLATE "C";

-- All persons that a ref ever stood for.
CREATE INDEX person_keys_known_as ON vault.person_keys (shop, (coalesce(former_ref, ref)), person);

-- What is sealed of a person: orders and notes.
CREATE INDEX vault_entries_person ON vault_entries (person, subject);
