-- How tables that only grow are vacuumed: each million rows that came, whatever is there already, and frozen at once, since they never change
-- again. Otherwise they would lie unfrozen until the transaction ids' age asks for all of them in one go (two hundred million transactions: a week
-- of fifty orders a second), and that pass would read and write the whole log. A vacuum that finds nothing dead passes over the indexes and over every page
-- that is frozen, so that it costs by what is new.
ALTER TABLE events SET (autovacuum_freeze_min_age = 0, autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 1000000);
ALTER TABLE claims SET (autovacuum_freeze_min_age = 0, autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 1000000);
ALTER TABLE vault_entries SET (autovacuum_freeze_min_age = 0, autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 1000000);
