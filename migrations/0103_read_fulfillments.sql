-- The goods of an order at one location, from their release on.
CREATE TABLE read.fulfillments (
    fulfillment_id  uuid             PRIMARY KEY,
    order_id        uuid             NOT NULL,
    shop            text COLLATE "C" NOT NULL,
    location        text COLLATE "C" NOT NULL,
    stage           text COLLATE "C" NOT NULL,
    carrier         text,
    tracking_number text,
    -- [{"line_id","sku","quantity","picked","packed","shipped"}]
    lines           json             NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX fulfillments_order ON read.fulfillments (order_id);
CREATE INDEX fulfillments_stage ON read.fulfillments (stage, fulfillment_id);
