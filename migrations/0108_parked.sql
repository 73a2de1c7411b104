-- Keys whose next event can't be taken in: an order's id, or that of a stream of stock or a location. Written with the checkpoint. Later
-- events of the key are held back, which is to say: passed over, and read again from the log when the key is released.
CREATE TABLE read.parked (
    key            uuid             PRIMARY KEY,
    -- The event that can't be taken in.
    position       bigint           NOT NULL,
    incarnation    integer          NOT NULL,
    stream_kind    text COLLATE "C" NOT NULL,
    version        integer          NOT NULL,
    event_type     text COLLATE "C" NOT NULL,
    schema_version smallint         NOT NULL,
    cause          text             NOT NULL,
    parked_at      timestamptz      NOT NULL DEFAULT now(),
    -- How often a release came no further than this event.
    tries          integer          NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

-- What people decided lies outside of `read`: it does not follow from the log, a rebuild leaves it and a backup holds it.
-- An event is named by incarnation and position, since a restored log may have another event at the same position.
CREATE TABLE public.skipped_events (
    incarnation    integer          NOT NULL,
    position       bigint           NOT NULL,
    key            uuid             NOT NULL,
    stream_kind    text COLLATE "C" NOT NULL,
    version        integer          NOT NULL,
    event_type     text COLLATE "C" NOT NULL,
    schema_version smallint         NOT NULL,
    cause          text             NOT NULL,
    reason         text             NOT NULL,
    skipped_by     text             NOT NULL,
    skipped_at     timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (incarnation, position)
);

-- What operators ask of the projections, and what came of it: kept as a record.
CREATE TABLE public.parked_requests (
    id         bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key        uuid             NOT NULL,
    -- The event at which the operator saw it parked: a skip leaves out that one and no other.
    position   bigint           NOT NULL,
    verb       text COLLATE "C" NOT NULL CHECK (verb IN ('release', 'skip')),
    reason     text             NOT NULL,
    asked_by   text             NOT NULL,
    asked_at   timestamptz      NOT NULL DEFAULT now(),
    -- NULL: still to be done.
    outcome    text COLLATE "C" CHECK (outcome IN ('released', 'parked', 'gone')),
    outcome_at timestamptz
);

-- One at a time of a key; and how the projections find what is still to be done.
CREATE UNIQUE INDEX parked_requests_open ON public.parked_requests (key) WHERE outcome IS NULL;
