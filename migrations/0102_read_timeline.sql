-- Every event of an order as a sentence. Insert only.
CREATE TABLE read.timeline (
    order_id   uuid             NOT NULL,
    position   bigint           NOT NULL,
    at         timestamptz      NOT NULL,
    type       text COLLATE "C" NOT NULL,
    summary    text COLLATE "C" NOT NULL,
    actor      text COLLATE "C" NOT NULL,
    actor_kind text COLLATE "C" NOT NULL,
    PRIMARY KEY (order_id, position)
);
