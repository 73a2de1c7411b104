-- One row an order. What never changes after the placement stands apart from what does: an update carries the small part only.
CREATE TABLE read.orders (
    order_id           uuid             PRIMARY KEY,
    placed_at          timestamptz      NOT NULL,
    received_at        timestamptz      NOT NULL,
    shop               text COLLATE "C" NOT NULL,
    ref                text COLLATE "C" NOT NULL,
    customer_ref       text COLLATE "C" NOT NULL,
    currency           text COLLATE "C" NOT NULL,
    -- How many decimals the currency's minor unit has; all amounts are in minor units.
    digits             smallint         NOT NULL,
    total              bigint           NOT NULL,
    -- [{"id","sku","quantity","line_total"}]. `json`: read whole and never searched, so it need not be taken apart.
    lines              json             NOT NULL,
    -- [{"kind","amount","line_id"}]
    charges            json             NOT NULL,

    status             text COLLATE "C" NOT NULL,
    status_reason      text COLLATE "C",
    fulfillment_status text COLLATE "C" NOT NULL,
    authorized         bigint           NOT NULL,
    captured           bigint           NOT NULL,
    refunded           bigint           NOT NULL,
    -- [[reserved, shipped, cancelled]], one entry a line, in the order of `lines`.
    progress           json             NOT NULL,
    updated_at         timestamptz      NOT NULL,
    version            integer          NOT NULL,
    -- The last event of the order.
    position           bigint           NOT NULL
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX orders_ref ON read.orders (ref, shop);
CREATE INDEX orders_placed_at ON read.orders (placed_at, order_id);
CREATE INDEX orders_shop_placed_at ON read.orders (shop, placed_at, order_id);
CREATE INDEX orders_updated_at ON read.orders (updated_at, order_id);
CREATE INDEX orders_status ON read.orders (status, placed_at, order_id);
CREATE INDEX orders_customer_ref ON read.orders (customer_ref, placed_at, order_id);

-- Which orders have an SKU in one of their lines.
CREATE TABLE read.order_skus (
    sku      text COLLATE "C" NOT NULL,
    order_id uuid             NOT NULL,
    PRIMARY KEY (sku, order_id)
);
