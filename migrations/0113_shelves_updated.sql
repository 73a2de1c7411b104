-- `read.write_rows` of 0112, but for shelves: those that are there are updated.

-- Answers true, so that it can be asked for after `advance`.
CREATE OR REPLACE FUNCTION read.write_rows(
    p_o_id uuid[], p_o_status text[], p_o_reason text[], p_o_fulfillment text[], p_o_authorized bigint[], p_o_captured bigint[],
    p_o_refunded bigint[], p_o_progress text[], p_o_erased timestamptz[], p_o_updated timestamptz[], p_o_version integer[],
    p_o_position bigint[], p_o_moving boolean[],
    p_n_placed timestamptz[], p_n_received timestamptz[], p_n_shop text[], p_n_ref text[], p_n_customer text[], p_n_currency text[],
    p_n_digits smallint[], p_n_total bigint[], p_n_lines text[], p_n_charges text[],
    p_k_sku text[], p_k_order uuid[],
    p_s_id uuid[], p_s_return smallint[], p_s_state text[], p_s_step text[], p_s_attempt integer[], p_s_cause text[], p_s_on text[],
    p_s_since timestamptz[], p_s_by timestamptz[], p_s_direction text[], p_s_remaining text[], p_s_order uuid[], p_s_shop text[],
    p_f_id uuid[], p_f_stage text[], p_f_carrier text[], p_f_tracking text[], p_f_lines text[], p_f_order uuid[], p_f_shop text[],
    p_f_location text[],
    p_r_order uuid[], p_r_number smallint[], p_r_stage text[], p_r_carrier text[], p_r_tracking text[], p_r_refund bigint[],
    p_r_lines text[], p_r_shop text[], p_r_location text[], p_r_digits smallint[],
    p_b_shop text[], p_b_sku text[], p_b_location text[], p_b_on_hand bigint[], p_b_reserved bigint[]
) RETURNS boolean LANGUAGE plpgsql
-- A row is found by its key whatever the planner knows of the table: what it knows of rows in motion is old when it is used. By a plain `=` it would
-- join by reading all of an index where statistics say that there is one row; by `= ANY (ARRAY[…])` there is nothing but looking the key up.
SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    v_met integer;
    v_new integer;
BEGIN
    v_new := cardinality(p_n_shop);
    IF v_new > 0 THEN
        INSERT INTO orders (order_id, status, status_reason, fulfillment_status, authorized, captured, refunded, progress,
                            customer_erased_at, updated_at, version, position, in_motion,
                            placed_at, received_at, shop, ref, customer_ref, currency, digits, total, lines, charges)
        SELECT n.id, n.status, n.reason, n.fulfillment, n.authorized, n.captured, n.refunded, n.progress::json,
               n.erased, n.updated, n.version, n.position, n.moving,
               n.placed, n.received, n.shop, n.ref, n.customer, n.currency, n.digits, n.total, n.lines::json, n.charges::json
          FROM unnest(p_o_id, p_o_status, p_o_reason, p_o_fulfillment, p_o_authorized, p_o_captured, p_o_refunded, p_o_progress,
                      p_o_erased, p_o_updated, p_o_version, p_o_position, p_o_moving,
                      p_n_placed, p_n_received, p_n_shop, p_n_ref, p_n_customer, p_n_currency, p_n_digits, p_n_total, p_n_lines,
                      p_n_charges)
               AS n (id, status, reason, fulfillment, authorized, captured, refunded, progress, erased, updated, version, position,
                     moving, placed, received, shop, ref, customer, currency, digits, total, lines, charges)
         WHERE n.shop IS NOT NULL;
        INSERT INTO order_skus (sku, order_id) SELECT k.sku, k.id FROM unnest(p_k_sku, p_k_order) AS k (sku, id);
    END IF;
    IF cardinality(p_o_id) > v_new THEN
        UPDATE orders AS o
           SET status = n.status, status_reason = n.reason, fulfillment_status = n.fulfillment, authorized = n.authorized,
               captured = n.captured, refunded = n.refunded, progress = n.progress::json, customer_erased_at = n.erased,
               updated_at = n.updated, version = n.version, position = n.position, in_motion = n.moving
          FROM unnest(p_o_id, p_o_status, p_o_reason, p_o_fulfillment, p_o_authorized, p_o_captured, p_o_refunded, p_o_progress,
                      p_o_erased, p_o_updated, p_o_version, p_o_position, p_o_moving)
               WITH ORDINALITY
               AS n (id, status, reason, fulfillment, authorized, captured, refunded, progress, erased, updated, version, position, moving,
                     n)
         WHERE n.n > v_new AND o.order_id = ANY (ARRAY[n.id]);
        GET DIAGNOSTICS v_met = ROW_COUNT;
        PERFORM read.all_met('orders', cardinality(p_o_id) - v_new, v_met);
    END IF;

    v_new := cardinality(p_s_shop);
    IF v_new > 0 THEN
        INSERT INTO sagas (saga_id, return_number, order_id, shop, state, step, attempt, cause, waiting_on, waiting_since, expected_by,
                           direction, remaining_steps)
        SELECT n.id, n.return_number, n.of, n.shop, n.state, n.step, n.attempt, n.cause, n.waiting_on, n.since, n.by, n.direction,
               string_to_array(n.remaining, ',')
          FROM unnest(p_s_id, p_s_return, p_s_state, p_s_step, p_s_attempt, p_s_cause, p_s_on, p_s_since, p_s_by, p_s_direction,
                      p_s_remaining, p_s_order, p_s_shop)
               AS n (id, return_number, state, step, attempt, cause, waiting_on, since, by, direction, remaining, of, shop)
         WHERE n.shop IS NOT NULL;
    END IF;
    IF cardinality(p_s_id) > v_new THEN
        UPDATE sagas AS s
           SET state = n.state, step = n.step, attempt = n.attempt, cause = n.cause, waiting_on = n.waiting_on, waiting_since = n.since,
               expected_by = n.by, direction = n.direction, remaining_steps = string_to_array(n.remaining, ',')
          FROM unnest(p_s_id, p_s_return, p_s_state, p_s_step, p_s_attempt, p_s_cause, p_s_on, p_s_since, p_s_by, p_s_direction,
                      p_s_remaining)
               WITH ORDINALITY AS n (id, return_number, state, step, attempt, cause, waiting_on, since, by, direction, remaining, n)
         WHERE n.n > v_new AND s.saga_id = ANY (ARRAY[n.id]) AND s.return_number = n.return_number;
        GET DIAGNOSTICS v_met = ROW_COUNT;
        PERFORM read.all_met('sagas', cardinality(p_s_id) - v_new, v_met);
    END IF;

    v_new := cardinality(p_f_shop);
    IF v_new > 0 THEN
        INSERT INTO fulfillments (fulfillment_id, stage, carrier, tracking_number, lines, order_id, shop, location)
        SELECT n.id, n.stage, n.carrier, n.tracking, n.lines::json, n.of, n.shop, n.location
          FROM unnest(p_f_id, p_f_stage, p_f_carrier, p_f_tracking, p_f_lines, p_f_order, p_f_shop, p_f_location)
               AS n (id, stage, carrier, tracking, lines, of, shop, location)
         WHERE n.shop IS NOT NULL;
    END IF;
    IF cardinality(p_f_id) > v_new THEN
        UPDATE fulfillments AS f
           SET stage = n.stage, carrier = n.carrier, tracking_number = n.tracking, lines = n.lines::json
          FROM unnest(p_f_id, p_f_stage, p_f_carrier, p_f_tracking, p_f_lines)
               WITH ORDINALITY AS n (id, stage, carrier, tracking, lines, n)
         WHERE n.n > v_new AND f.fulfillment_id = ANY (ARRAY[n.id]);
        GET DIAGNOSTICS v_met = ROW_COUNT;
        PERFORM read.all_met('fulfillments', cardinality(p_f_id) - v_new, v_met);
    END IF;

    v_new := cardinality(p_r_shop);
    IF v_new > 0 THEN
        INSERT INTO returns (order_id, number, stage, carrier, tracking_number, refund, lines, shop, location, digits)
        SELECT n.of, n.number, n.stage, n.carrier, n.tracking, n.refund, n.lines::json, n.shop, n.location, n.digits
          FROM unnest(p_r_order, p_r_number, p_r_stage, p_r_carrier, p_r_tracking, p_r_refund, p_r_lines, p_r_shop, p_r_location,
                      p_r_digits)
               AS n (of, number, stage, carrier, tracking, refund, lines, shop, location, digits)
         WHERE n.shop IS NOT NULL;
    END IF;
    IF cardinality(p_r_order) > v_new THEN
        UPDATE returns AS r
           SET stage = n.stage, carrier = n.carrier, tracking_number = n.tracking, refund = n.refund, lines = n.lines::json
          FROM unnest(p_r_order, p_r_number, p_r_stage, p_r_carrier, p_r_tracking, p_r_refund, p_r_lines)
               WITH ORDINALITY AS n (of, number, stage, carrier, tracking, refund, lines, n)
         WHERE n.n > v_new AND r.order_id = ANY (ARRAY[n.of]) AND r.number = n.number;
        GET DIAGNOSTICS v_met = ROW_COUNT;
        PERFORM read.all_met('returns', cardinality(p_r_order) - v_new, v_met);
    END IF;

    IF cardinality(p_b_shop) > 0 THEN
        -- Sums of changes, not counts, so that the table itself is the state. Nearly always the shelf is there: an update writes half of what an
        -- insert does that meets its row.
        UPDATE stock AS b SET on_hand = b.on_hand + c.on_hand, reserved = b.reserved + c.reserved
          FROM unnest(p_b_shop, p_b_sku, p_b_location, p_b_on_hand, p_b_reserved) AS c (shop, sku, location, on_hand, reserved)
         WHERE b.shop = ANY (ARRAY[c.shop]) AND b.sku = ANY (ARRAY[c.sku]) AND b.location = ANY (ARRAY[c.location]);
        GET DIAGNOSTICS v_met = ROW_COUNT;
        IF v_met < cardinality(p_b_shop) THEN
            INSERT INTO stock AS b (shop, sku, location, on_hand, reserved)
            SELECT c.shop, c.sku, c.location, c.on_hand, c.reserved
              FROM unnest(p_b_shop, p_b_sku, p_b_location, p_b_on_hand, p_b_reserved) AS c (shop, sku, location, on_hand, reserved)
             WHERE NOT EXISTS (
                       SELECT FROM stock s
                        WHERE s.shop = ANY (ARRAY[c.shop]) AND s.sku = ANY (ARRAY[c.sku]) AND s.location = ANY (ARRAY[c.location])
                   )
                ON CONFLICT (shop, sku, location) DO UPDATE
                   SET on_hand = b.on_hand + excluded.on_hand, reserved = b.reserved + excluded.reserved;
        END IF;
    END IF;
    RETURN true;
END $$;
