-- Until when a saga waits as expected, and which way it goes. Both NULL once it has ended, and where the release before wrote the row: whoever
-- drives the projections next makes those anew. Whether the moment has passed is worked out when it is read.
ALTER TABLE read.sagas
    ADD COLUMN expected_by timestamptz,
    ADD COLUMN direction   text COLLATE "C";

-- What has not ended, which is little beside what has: what is overdue is found at its front, and what is where is counted from it alone.
CREATE INDEX sagas_under_way ON read.sagas (expected_by, step, state, waiting_on, cause, waiting_since)
    WHERE state NOT IN ('COMPLETED', 'COMPENSATED');

-- Incidents, which are few: their groups are counted from it alone, and a group's sagas lie together.
CREATE INDEX sagas_incidents ON read.sagas (step, COALESCE(direction, 'forward'), cause, saga_id) INCLUDE (direction, waiting_since, shop)
    WHERE state = 'PAUSED';
