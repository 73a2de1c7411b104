-- A database that holds a copy of a log, fed by Kafka alone. Where a row stands, nothing is appended: the truth is elsewhere.
CREATE TABLE replicas (
    log      smallint    PRIMARY KEY,
    -- Whose copy it is: how the topics' names begin.
    source   text        NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now()
);

-- Makes a replica empty again, so that it can be filled anew: the one way in which an event leaves a table, and it leaves a copy alone.
-- What an import may have brought beside the events goes with them.
CREATE FUNCTION empty_replica(p_log smallint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(log_lock(), p_log);
    IF NOT EXISTS (SELECT FROM replicas r WHERE r.log = p_log)
       OR EXISTS (SELECT FROM incarnations i WHERE NOT EXISTS (SELECT FROM replicas r WHERE r.log = i.log)) THEN
        RAISE EXCEPTION 'this database holds more than a replica: nothing in it is deleted' USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (SELECT FROM incarnations i WHERE i.log <> p_log) THEN
        RAISE EXCEPTION 'this database holds replicas of several logs: drop it instead' USING ERRCODE = 'restrict_violation';
    END IF;
    ALTER TABLE events DISABLE TRIGGER events_are_never_changed;
    TRUNCATE events, claims, expiring_claims, balances, timers, vault_entries, checkpoints, abandoned_ranges;
    ALTER TABLE events ENABLE TRIGGER events_are_never_changed;
    DELETE FROM incarnations WHERE log = p_log AND incarnation > 1;
END $$;
