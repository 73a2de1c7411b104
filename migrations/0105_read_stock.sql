-- What lies where. Only counts change, and no index holds them, so that an update stays on its page.
CREATE TABLE read.stock (
    shop     text COLLATE "C" NOT NULL,
    sku      text COLLATE "C" NOT NULL,
    location text COLLATE "C" NOT NULL,
    on_hand  bigint           NOT NULL,
    reserved bigint           NOT NULL,
    PRIMARY KEY (shop, sku, location)
) WITH (fillfactor = 60);

CREATE INDEX stock_sku ON read.stock (sku, shop, location);
