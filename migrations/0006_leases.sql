-- Who drives which slot of a log. The epoch rises with each change of owner; an append that names an older one is refused.
CREATE TABLE leases (
    log        smallint    NOT NULL,
    slot       smallint    NOT NULL CHECK (slot BETWEEN 0 AND 255),
    owner      uuid,
    epoch      bigint      NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT to_timestamp(0),
    PRIMARY KEY (log, slot)
) WITH (fillfactor = 50);

-- Takes the slots that are free, expired or already `p_owner`'s; answers those that are now held.
--
-- A change of owner takes the log's counter row first. So every append under the old epoch either committed before, and the new owner
-- sees it in what it reads, or comes after and is refused. A mere renewal takes only its own rows, so it never holds an append up;
-- nobody who holds lease rows ever waits for the counter row, so the two can't deadlock.
CREATE FUNCTION take_leases(p_log smallint, p_slots smallint[], p_owner uuid, p_ttl interval)
RETURNS TABLE (held_slot smallint, held_epoch bigint, held_until timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM leases l
         WHERE l.log = p_log AND l.slot = ANY (p_slots) AND l.owner IS DISTINCT FROM p_owner
           AND (l.owner IS NULL OR l.expires_at < clock_timestamp())
    ) THEN
        PERFORM FROM logs WHERE logs.log = p_log FOR NO KEY UPDATE;
    ELSE
        RETURN QUERY
            UPDATE leases l SET expires_at = clock_timestamp() + p_ttl
             WHERE l.log = p_log AND l.slot = ANY (p_slots) AND l.owner = p_owner
         RETURNING l.slot, l.epoch, l.expires_at;
        RETURN;
    END IF;
    RETURN QUERY
        UPDATE leases l
           SET owner = p_owner,
               epoch = l.epoch + (l.owner IS DISTINCT FROM p_owner)::integer,
               expires_at = clock_timestamp() + p_ttl
         WHERE l.log = p_log AND l.slot = ANY (p_slots)
           AND (l.owner IS NULL OR l.owner = p_owner OR l.expires_at < clock_timestamp())
     RETURNING l.slot, l.epoch, l.expires_at;
END $$;
