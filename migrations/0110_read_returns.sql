-- Sagas of returns lie beside their order's fulfillment: under its id, by the return's number; 0 is the fulfillment itself. The release before
-- knows nothing of returns, and writes rows of number 0.
ALTER TABLE read.sagas ADD COLUMN return_number smallint NOT NULL DEFAULT 0;
ALTER TABLE read.sagas DROP CONSTRAINT sagas_pkey, ADD CONSTRAINT sagas_pkey PRIMARY KEY (saga_id, return_number);

-- Few beside the others, and looked for by themselves.
CREATE INDEX sagas_returns ON read.sagas (saga_id, return_number) WHERE return_number > 0;

-- One row a return: what comes back, and how far that is. An order without returns has none.
CREATE TABLE read.returns (
    order_id        uuid             NOT NULL,
    -- Within the order, from 1.
    number          smallint         NOT NULL,
    shop            text COLLATE "C" NOT NULL,
    -- Where the goods came from, and go back to.
    location        text COLLATE "C" NOT NULL,
    stage           text COLLATE "C" NOT NULL,
    carrier         text,
    tracking_number text,
    -- In minor units of the order's currency; NULL until it is inspected.
    refund          bigint,
    digits          smallint         NOT NULL,
    -- [{"line_id","sku","quantity","received","restocked","written_off","refused"}]
    lines           json             NOT NULL,
    PRIMARY KEY (order_id, number)
) WITH (fillfactor = 80);

CREATE INDEX returns_stage ON read.returns (stage, order_id, number);
