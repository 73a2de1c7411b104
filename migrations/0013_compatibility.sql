-- Which programs may work with this schema: those that know the migration `needs`. A program that finds migrations of which it knows
-- nothing asks here. Only a contract migration raises it, to the migration whose shape the oldest admitted program lives by.
CREATE TABLE compatibility (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    needs bigint NOT NULL
);

INSERT INTO compatibility (needs) VALUES (13);
