-- One row a saga: where it stands and whom it waits for.
CREATE TABLE read.sagas (
    saga_id         uuid             PRIMARY KEY,
    order_id        uuid             NOT NULL,
    shop            text COLLATE "C" NOT NULL,
    state           text COLLATE "C" NOT NULL,
    step            text COLLATE "C" NOT NULL,
    -- The attempt that the step is at, from 1.
    attempt         integer          NOT NULL,
    -- Why it is retrying or paused.
    cause           text COLLATE "C",
    waiting_on      text COLLATE "C",
    -- Since when it waits for the same one at the same step; NULL once it has ended.
    waiting_since   timestamptz,
    remaining_steps text[]           NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX sagas_order ON read.sagas (order_id);
CREATE INDEX sagas_state ON read.sagas (state, saga_id);
CREATE INDEX sagas_step ON read.sagas (step, saga_id);
CREATE INDEX sagas_waiting_since ON read.sagas (waiting_since) WHERE waiting_since IS NOT NULL;
