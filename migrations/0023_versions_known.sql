-- The version of a stream is not looked up where the caller knows it: `p_s_as_of`.

-- The one function that writes events: a batch of appends, judged one by one in their order, written set by set, committed together.
--
-- Arrays are columns, named by what they describe: m(ember), s(tream), e(vent), k (a distinct claim key), c(laim), a (a distinct
-- account), b(alance change), f(ence), r(eader's checkpoint), t(imer), v(ault entry). Rows of members are in the members' order.
-- `p_x_member`, `p_e_stream`, `p_c_key`, `p_b_account` are indices from 1. The caller sees to it that
--   * no stream, checkpoint, timer or vault subject is in two members, and no member has two checkpoints;
--   * events are in position order: by member, then as the append says;
--   * `p_m_before` counts the events of the members before, `p_e_nth` the events of its stream in this batch up to it;
--   * `p_s_as_of`: where the log stood when the stream had the expected version for certain; NULL: not known. It is looked up only where the log
--     stands elsewhere by now. The highest bigint: the stream begins, and the unique index sees to it that it does so once;
--   * `p_k_day`: the key may be forgotten after a day; NULL: not known;
--   * `p_t_set`: when a timer was set, by the clock that `p_t_due` was told by; NULL, or no array at all: not told;
--   * an account stands once in a member; `p_a_delta` is its whole change, `p_a_worst` its decreases alone, `p_a_floor` its highest floor.
--
-- Answers the position before the batch, and `refusals`: NULL, or a JSON array of the members that were not taken. Who is not in it
-- was, with dense positions in member order. There is no exception block: whatever goes wrong fails the whole batch, and writes nothing.
--
-- Nearly always everything is taken, which is found out by sets. When something stands in the way, an exact walk over the members
-- says what each one finds after those before it: first its lease, then its checkpoint, its claims, its streams, its balances.
CREATE FUNCTION append_batch(
    p_log smallint,
    p_m_command uuid[], p_m_shop text[], p_m_metadata text[], p_m_events integer[], p_m_before integer[],
    p_s_member integer[], p_s_id uuid[], p_s_kind text[], p_s_expected integer[],
    p_e_member integer[], p_e_stream integer[], p_e_nth integer[], p_e_type text[], p_e_schema smallint[], p_e_payload text[], p_e_checksum integer[],
    p_k_scope text[], p_k_key text[], p_k_day boolean[],
    p_c_member integer[], p_c_key integer[], p_c_holder text[], p_c_fingerprint bytea[],
    p_a_name text[], p_a_delta bigint[], p_a_worst bigint[], p_a_floor bigint[],
    p_b_member integer[], p_b_account integer[], p_b_delta bigint[], p_b_floor bigint[],
    p_f_member integer[], p_f_slot smallint[], p_f_epoch bigint[],
    p_r_member integer[], p_r_name text[], p_r_from_incarnation integer[], p_r_from bigint[],
    p_r_to_incarnation integer[], p_r_to bigint[],
    p_t_member integer[], p_t_id uuid[], p_t_slot smallint[], p_t_kind text[], p_t_name text[], p_t_due timestamptz[],
    p_t_set timestamptz[],
    p_v_member integer[], p_v_subject uuid[], p_v_person uuid[], p_v_sealed bytea[],
    p_s_as_of bigint[],
    OUT base bigint, OUT incarnation integer, OUT recorded_at timestamptz, OUT refusals json
) LANGUAGE plpgsql AS $$
DECLARE
    v_members   integer := cardinality(p_m_command);
    v_total     integer := cardinality(p_e_member);
    v_day       date;                     -- of this batch, in UTC
    v_metadata  json[] := p_m_metadata::json[];
    v_before    integer[] := p_m_before;  -- events of the members taken before
    v_taken     boolean[];                -- a member's fate; NULL: all are taken
    v_versions  integer[];                -- a stream's version before the batch
    v_unknown   integer[];                -- streams whose version is looked up
    v_found     integer[];                -- their versions
    v_conflicts integer[];                -- streams that aren't as expected
    v_fenced    integer[];                -- members whose lease is gone
    v_moved     integer[];                -- checkpoints that aren't where they should be
    v_claimed   integer[];                -- claim keys that someone already holds
    v_balances  bigint[];                 -- what an account holds as far as the walk has come
    v_delta     bigint[] := p_a_delta;    -- what becomes of each account; NULL: nothing
    v_low       boolean;
    v_walks     boolean;                  -- something stands in the way of a member
    v_begins    bigint;                   -- `p_s_as_of` of a stream that need not be looked up, since it begins
    v_holders   integer[];                -- the claim of the batch that took a key; 0: free; -1: held before
    v_conflict  integer[];                -- the first such stream of a member
    v_refused   json[] := '{}';
    v_no        json;
    i integer; c integer; b integer; n integer;
BEGIN
    -- The lock, as its own first statement: all that follow see what the appends before have committed. It is let go of only after the
    -- commit has become visible.
    PERFORM pg_advisory_xact_lock(log_lock(), p_log);

    SELECT i.incarnation INTO append_batch.incarnation
      FROM incarnations i WHERE i.log = p_log ORDER BY i.incarnation DESC LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no log %', p_log USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT e.position, e.recorded_at INTO base, append_batch.recorded_at
      FROM events e WHERE e.log = p_log ORDER BY e.position DESC LIMIT 1;
    base := coalesce(base, 0);
    append_batch.recorded_at := greatest(append_batch.recorded_at, clock_timestamp());
    v_day := (append_batch.recorded_at AT TIME ZONE 'UTC')::date;

    IF cardinality(p_f_member) > 0 THEN
        SELECT array_agg(f.member) INTO v_fenced
          FROM unnest(p_f_member, p_f_slot, p_f_epoch) AS f (member, slot, epoch)
          LEFT JOIN LATERAL (
                   SELECT l.epoch FROM leases l
                    WHERE l.log = p_log AND l.slot = f.slot AND l.owner IS NOT NULL LIMIT 1
               ) AS held ON true
         WHERE held.epoch IS DISTINCT FROM f.epoch;
    END IF;

    IF cardinality(p_r_member) > 0 THEN
        SELECT array_agg(r.n::integer) INTO v_moved
          FROM unnest(p_r_name, p_r_from_incarnation, p_r_from) WITH ORDINALITY AS r (name, incarnation, position, n)
          LEFT JOIN LATERAL (
                   SELECT h.incarnation, h.position FROM checkpoints h
                    WHERE h.log = p_log AND h.name = r.name LIMIT 1
               ) AS held ON true
         WHERE (held.incarnation, held.position) IS DISTINCT FROM (r.incarnation, r.position);
    END IF;

    IF cardinality(p_k_key) > 0 THEN
        SELECT array_agg(k.n::integer) INTO v_claimed
          FROM unnest(p_k_scope, p_k_key, p_k_day) WITH ORDINALITY AS k (scope, key, day, n)
          LEFT JOIN LATERAL (SELECT true AS held FROM claims c WHERE c.scope = k.scope AND c.key = k.key LIMIT 1) AS ever ON true
          LEFT JOIN LATERAL (
                   SELECT true AS held FROM expiring_claims x
                    WHERE k.day IS DISTINCT FROM false AND x.scope = k.scope AND x.key = k.key AND x.day >= v_day - 1 LIMIT 1
               ) AS lately ON true
         WHERE ever.held OR lately.held;
    END IF;

    IF cardinality(p_a_name) > 0 THEN
        SELECT array_agg(coalesce(held.balance, 0) ORDER BY a.n), bool_or(coalesce(held.balance, 0) + a.worst < a.floor)
          INTO v_balances, v_low
          FROM unnest(p_a_name, p_a_worst, p_a_floor) WITH ORDINALITY AS a (name, worst, floor, n)
          LEFT JOIN LATERAL (SELECT h.balance FROM balances h WHERE h.account = a.name LIMIT 1) AS held ON true;
    END IF;

    v_walks := v_fenced IS NOT NULL OR v_moved IS NOT NULL OR v_claimed IS NOT NULL OR coalesce(v_low, false)
               OR cardinality(p_c_key) > cardinality(p_k_key);
    -- A stream that begins twice stands in the way as well. Where anything does, it is looked up: the first of several is to be told.
    v_begins := CASE WHEN NOT v_walks THEN 9223372036854775807 END;
    LOOP
        SELECT array_agg(s.n::integer), array_agg(coalesce(last.version, 0)),
               array_agg(s.n::integer ORDER BY s.n) FILTER (WHERE p_s_expected[s.n::integer] <> coalesce(last.version, 0))
          INTO v_unknown, v_found, v_conflicts
          FROM unnest(p_s_as_of) WITH ORDINALITY AS s (as_of, n)
          LEFT JOIN LATERAL (
                   SELECT e.version FROM events e
                    WHERE e.stream_id = p_s_id[s.n::integer] AND e.stream_kind = p_s_kind[s.n::integer]
                    ORDER BY e.version DESC LIMIT 1
               ) AS last ON true
         WHERE (s.as_of IN (base, v_begins)) IS NOT TRUE;
        EXIT WHEN v_conflicts IS NULL OR v_begins IS NULL OR array_position(p_s_as_of, v_begins) IS NULL;
        v_begins := NULL;
    END LOOP;
    v_versions := p_s_expected;
    FOR i IN 1 .. coalesce(cardinality(v_unknown), 0) LOOP
        v_versions[v_unknown[i]] := v_found[i];
    END LOOP;

    IF v_walks OR v_conflicts IS NOT NULL THEN
        -- The walk. c and b go through claims and balance changes along with the members.
        v_taken := array_fill(false, ARRAY[v_members]);
        v_conflict := array_fill(0, ARRAY[v_members]);
        v_holders := array_fill(0, ARRAY[cardinality(p_k_key)]);
        v_delta := array_fill(NULL::bigint, ARRAY[cardinality(p_a_name)]);
        FOREACH i IN ARRAY coalesce(v_conflicts, '{}') LOOP
            IF v_conflict[p_s_member[i]] = 0 THEN
                v_conflict[p_s_member[i]] := i;
            END IF;
        END LOOP;
        FOREACH i IN ARRAY coalesce(v_claimed, '{}') LOOP
            v_holders[i] := -1;
        END LOOP;
        v_total := 0;
        c := 1;
        b := 1;
        FOR i IN 1 .. v_members LOOP
            v_no := NULL;
            IF i = ANY (v_fenced) THEN
                v_no := json_build_object('member', i, 'fenced', true);
            END IF;

            n := array_position(p_r_member, i);
            IF v_no IS NULL AND n = ANY (v_moved) THEN
                -- An aggregate, since there may be no such row.
                SELECT json_build_object('member', i, 'moved', json_build_array(max(h.incarnation), max(h.position)))
                  INTO v_no
                  FROM checkpoints h
                 WHERE h.log = p_log AND h.name = p_r_name[n];
            END IF;

            n := c;
            WHILE v_no IS NULL AND p_c_member[n] = i LOOP
                IF v_holders[p_c_key[n]] = -1 THEN
                    SELECT json_build_object('member', i, 'claim', json_build_object(
                               'scope', h.scope, 'key', h.key, 'holder', h.holder,
                               'fingerprint', encode(h.fingerprint, 'hex'), 'position', h.position))
                      INTO v_no
                      FROM (SELECT scope, key, holder, fingerprint, position FROM claims
                             WHERE scope = p_k_scope[p_c_key[n]] AND key = p_k_key[p_c_key[n]]
                             UNION ALL
                            SELECT scope, key, holder, fingerprint, position FROM expiring_claims
                             WHERE scope = p_k_scope[p_c_key[n]] AND key = p_k_key[p_c_key[n]] AND day >= v_day - 1) AS h
                     LIMIT 1;
                ELSIF v_holders[p_c_key[n]] > 0 THEN
                    v_no := json_build_object('member', i, 'claim', json_build_object(
                               'scope', p_k_scope[p_c_key[n]], 'key', p_k_key[p_c_key[n]],
                               'holder', p_c_holder[v_holders[p_c_key[n]]],
                               'fingerprint', encode(p_c_fingerprint[v_holders[p_c_key[n]]], 'hex'),
                               'position', base + v_before[p_c_member[v_holders[p_c_key[n]]]]
                                                + p_m_events[p_c_member[v_holders[p_c_key[n]]]]));
                END IF;
                n := n + 1;
            END LOOP;

            IF v_no IS NULL AND v_conflict[i] > 0 THEN
                v_no := json_build_object('member', i, 'stream', v_conflict[i], 'actual', v_versions[v_conflict[i]]);
            END IF;

            n := b;
            WHILE v_no IS NULL AND p_b_member[n] = i LOOP
                IF v_balances[p_b_account[n]] + p_b_delta[n] < p_b_floor[n] THEN
                    v_no := json_build_object('member', i, 'account', p_a_name[p_b_account[n]],
                                              'balance', v_balances[p_b_account[n]], 'delta', p_b_delta[n]);
                END IF;
                n := n + 1;
            END LOOP;

            -- Past its claims and changes; what it was granted counts for those after it.
            v_before[i] := v_total;
            WHILE p_c_member[c] = i LOOP
                IF v_no IS NULL THEN
                    v_holders[p_c_key[c]] := c;
                END IF;
                c := c + 1;
            END LOOP;
            WHILE p_b_member[b] = i LOOP
                IF v_no IS NULL THEN
                    v_balances[p_b_account[b]] := v_balances[p_b_account[b]] + p_b_delta[b];
                    v_delta[p_b_account[b]] := coalesce(v_delta[p_b_account[b]], 0) + p_b_delta[b];
                END IF;
                b := b + 1;
            END LOOP;
            IF v_no IS NULL THEN
                v_taken[i] := true;
                v_total := v_total + p_m_events[i];
            ELSE
                v_refused := v_refused || v_no;
            END IF;
        END LOOP;

        IF cardinality(v_refused) > 0 THEN
            refusals := array_to_json(v_refused);
        END IF;
    END IF;

    INSERT INTO events (log, position, incarnation, stream_id, stream_kind, version, type, schema_version,
                        shop, command_id, recorded_at, metadata, payload, checksum)
    SELECT p_log, base + v_before[e.member] + e.n - p_m_before[e.member], append_batch.incarnation,
           p_s_id[e.stream], p_s_kind[e.stream], v_versions[e.stream] + e.nth, e.type, e.schema_version,
           p_m_shop[e.member], p_m_command[e.member], append_batch.recorded_at,
           v_metadata[e.member], e.payload::json, e.checksum
      FROM unnest(p_e_member, p_e_stream, p_e_nth, p_e_type, p_e_schema, p_e_payload, p_e_checksum)
           WITH ORDINALITY AS e (member, stream, nth, type, schema_version, payload, checksum, n)
     WHERE v_taken IS NULL OR v_taken[e.member];

    IF cardinality(p_c_member) > 0 THEN
        INSERT INTO claims (scope, key, position, log, holder, fingerprint)
        SELECT p_k_scope[c1.key], p_k_key[c1.key], base + v_before[c1.member] + p_m_events[c1.member], p_log,
               c1.holder, c1.fingerprint
          FROM unnest(p_c_member, p_c_key, p_c_holder, p_c_fingerprint) AS c1 (member, key, holder, fingerprint)
         WHERE (v_taken IS NULL OR v_taken[c1.member]) AND p_k_day[c1.key] IS NOT TRUE;
        IF true = ANY (p_k_day) THEN
            INSERT INTO expiring_claims (scope, key, day, position, log, holder, fingerprint)
            SELECT p_k_scope[c1.key], p_k_key[c1.key], v_day, base + v_before[c1.member] + p_m_events[c1.member], p_log,
                   c1.holder, c1.fingerprint
              FROM unnest(p_c_member, p_c_key, p_c_holder, p_c_fingerprint) AS c1 (member, key, holder, fingerprint)
             WHERE (v_taken IS NULL OR v_taken[c1.member]) AND p_k_day[c1.key];
        END IF;
    END IF;

    IF cardinality(p_a_name) > 0 THEN
        INSERT INTO balances AS h (account, balance)
        SELECT a.name, a.delta
          FROM unnest(p_a_name, v_delta) AS a (name, delta)
         WHERE a.delta IS NOT NULL
            ON CONFLICT (account) DO UPDATE SET balance = h.balance + excluded.balance;
    END IF;

    IF cardinality(p_r_member) > 0 THEN
        INSERT INTO checkpoints (log, name, incarnation, position, command_id, last_position, recorded_at)
        SELECT p_log, r.name, r.incarnation, r.position, p_m_command[r.member],
               base + v_before[r.member] + p_m_events[r.member], append_batch.recorded_at
          FROM unnest(p_r_member, p_r_name, p_r_to_incarnation, p_r_to) AS r (member, name, incarnation, position)
         WHERE v_taken IS NULL OR v_taken[r.member]
            ON CONFLICT (log, name) DO UPDATE
               SET incarnation = excluded.incarnation, position = excluded.position, command_id = excluded.command_id,
                   last_position = excluded.last_position, recorded_at = excluded.recorded_at;
    END IF;

    IF cardinality(p_t_member) > 0 THEN
        -- One by one: a join would read all timers, for as long as their statistics say that there are none.
        FOR i IN 1 .. cardinality(p_t_member) LOOP
            IF p_t_due[i] IS NULL AND (v_taken IS NULL OR v_taken[p_t_member[i]]) THEN
                DELETE FROM timers
                 WHERE stream_id = p_t_id[i] AND stream_kind = p_t_kind[i] AND name = p_t_name[i];
            END IF;
        END LOOP;
        INSERT INTO timers (stream_id, stream_kind, name, log, slot, due_at, set_at, position)
        SELECT t.id, t.kind, t.name, p_log, t.slot, t.due, t.set_at, base + v_before[t.member] + p_m_events[t.member]
          FROM unnest(p_t_member, p_t_id, p_t_slot, p_t_kind, p_t_name, p_t_due, p_t_set)
               AS t (member, id, slot, kind, name, due, set_at)
         WHERE t.due IS NOT NULL AND (v_taken IS NULL OR v_taken[t.member])
            ON CONFLICT (stream_id, stream_kind, name) DO UPDATE
               SET due_at = excluded.due_at, set_at = excluded.set_at, position = excluded.position;
    END IF;

    IF cardinality(p_v_member) > 0 THEN
        INSERT INTO vault_entries (subject, person, sealed)
        SELECT v.subject, v.person, v.sealed
          FROM unnest(p_v_member, p_v_subject, p_v_person, p_v_sealed) AS v (member, subject, person, sealed)
         WHERE v_taken IS NULL OR v_taken[v.member]
            ON CONFLICT (subject) DO UPDATE SET person = excluded.person, sealed = excluded.sealed;
    END IF;

    IF v_total > 0 THEN
        PERFORM pg_notify('waybill', p_log || ':' || base + v_total);
    END IF;
END $$;

-- As it was called before: no version is known. The release before comes here too, by its own overloads.
CREATE OR REPLACE FUNCTION append_batch(
    p_log smallint,
    p_m_command uuid[], p_m_shop text[], p_m_metadata text[], p_m_events integer[], p_m_before integer[],
    p_s_member integer[], p_s_id uuid[], p_s_kind text[], p_s_expected integer[],
    p_e_member integer[], p_e_stream integer[], p_e_nth integer[], p_e_type text[], p_e_schema smallint[], p_e_payload text[], p_e_checksum integer[],
    p_k_scope text[], p_k_key text[], p_k_day boolean[],
    p_c_member integer[], p_c_key integer[], p_c_holder text[], p_c_fingerprint bytea[],
    p_a_name text[], p_a_delta bigint[], p_a_worst bigint[], p_a_floor bigint[],
    p_b_member integer[], p_b_account integer[], p_b_delta bigint[], p_b_floor bigint[],
    p_f_member integer[], p_f_slot smallint[], p_f_epoch bigint[],
    p_r_member integer[], p_r_name text[], p_r_from_incarnation integer[], p_r_from bigint[],
    p_r_to_incarnation integer[], p_r_to bigint[],
    p_t_member integer[], p_t_id uuid[], p_t_slot smallint[], p_t_kind text[], p_t_name text[], p_t_due timestamptz[],
    p_t_set timestamptz[],
    p_v_member integer[], p_v_subject uuid[], p_v_person uuid[], p_v_sealed bytea[],
    OUT base bigint, OUT incarnation integer, OUT recorded_at timestamptz, OUT refusals json
) LANGUAGE sql AS $$
    SELECT a.base, a.incarnation, a.recorded_at, a.refusals
      FROM append_batch(
        p_log, p_m_command, p_m_shop, p_m_metadata, p_m_events, p_m_before, p_s_member, p_s_id, p_s_kind, p_s_expected,
        p_e_member, p_e_stream, p_e_nth, p_e_type, p_e_schema, p_e_payload, p_e_checksum, p_k_scope, p_k_key, p_k_day, p_c_member,
        p_c_key, p_c_holder, p_c_fingerprint, p_a_name, p_a_delta, p_a_worst, p_a_floor, p_b_member, p_b_account, p_b_delta,
        p_b_floor, p_f_member, p_f_slot, p_f_epoch, p_r_member, p_r_name, p_r_from_incarnation, p_r_from, p_r_to_incarnation,
        p_r_to, p_t_member, p_t_id, p_t_slot, p_t_kind, p_t_name, p_t_due, p_t_set, p_v_member, p_v_subject, p_v_person, p_v_sealed,
        array_fill(NULL::bigint, ARRAY[cardinality(p_s_id)])
      ) AS a
$$;
