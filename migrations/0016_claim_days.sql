-- Idempotency keys that may be forgotten after a day. `day` is that of the append, in UTC; seen on its day and on the next, so for
-- 24 to 48 hours. A partition a day, dropped as a whole.
CREATE TABLE expiring_claims (
    day         date             NOT NULL,
    position    bigint           NOT NULL,
    log         smallint         NOT NULL,
    scope       text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    holder      text             NOT NULL,
    fingerprint bytea            CHECK (octet_length(fingerprint) = 32),
    PRIMARY KEY (scope, key, day)
) PARTITION BY RANGE (day);

-- They are looked after without ever holding an append up.
--
-- Making: attaching takes SHARE UPDATE EXCLUSIVE on the parent, which reads and writes neither wait for nor queue behind. Dropping takes
-- ACCESS EXCLUSIVE, behind which everybody queues: so it is not even asked for while a long transaction (a dump, a report) holds the
-- table, and given up at once when it is not to be had. One partition a call, each in a transaction of its own. What can't be done
-- now is done later.

-- The days there are partitions of, in UTC.
CREATE VIEW claim_days AS
SELECT c.oid::regclass AS partition, to_date(right(c.relname, 8), 'YYYYMMDD') AS day
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'expiring_claims'::regclass AND c.relname ~ '^expiring_claims_[0-9]{8}$';

-- Makes the partitions of yesterday to `p_ahead` days from now that are missing.
CREATE FUNCTION make_claim_days(p_ahead integer) RETURNS void LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    v_today date := (now() AT TIME ZONE 'UTC')::date;
    v_day   date;
    v_name  text;
BEGIN
    -- Whoever comes second leaves it to the first.
    IF NOT pg_try_advisory_xact_lock(log_lock(), -1) THEN
        RETURN;
    END IF;
    FOR v_day IN
        SELECT d::date FROM generate_series(v_today - 1, v_today + p_ahead, '1 day') AS d
         WHERE d::date NOT IN (SELECT day FROM claim_days) ORDER BY d
    LOOP
        v_name := 'expiring_claims_' || to_char(v_day, 'YYYYMMDD');
        EXECUTE format('CREATE TABLE %I (LIKE expiring_claims INCLUDING CONSTRAINTS)', v_name);
        EXECUTE format('ALTER TABLE expiring_claims ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', v_name, v_day, v_day + 1);
    END LOOP;
END $$;

-- Drops the oldest partition that nobody looks into any more; answers its day, NULL when there is none. Fails with
-- `lock_not_available` when it would have to wait.
CREATE FUNCTION drop_claim_day() RETURNS date LANGUAGE plpgsql SET lock_timeout = '50ms' AS $$
DECLARE
    v_partition regclass;
    v_day       date;
BEGIN
    IF NOT pg_try_advisory_xact_lock(log_lock(), -1) THEN
        RETURN NULL;
    END IF;
    SELECT partition, day INTO v_partition, v_day
      FROM claim_days WHERE day < (now() AT TIME ZONE 'UTC')::date - 1 ORDER BY day LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- Of other roles' transactions the age may be hidden; then the lock's time limit decides.
    IF EXISTS (
        SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
         WHERE l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
           AND l.relation IN ('expiring_claims'::regclass, v_partition) AND l.pid <> pg_backend_pid()
           AND a.xact_start < clock_timestamp() - interval '1 second'
    ) THEN
        RAISE EXCEPTION 'a long transaction holds expiring_claims' USING ERRCODE = 'lock_not_available';
    END IF;
    EXECUTE format('DROP TABLE %s', v_partition);
    RETURN v_day;
END $$;

SELECT make_claim_days(3);
