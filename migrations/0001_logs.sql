-- One counter row a log. Every append locks it first and holds it to its commit: positions are dense and in commit order.
-- Only the key is indexed and the page is kept nearly empty, so that each of its many updates stays on its page (HOT).
CREATE TABLE logs (
    log              smallint    PRIMARY KEY,
    incarnation      integer     NOT NULL DEFAULT 1 CHECK (incarnation > 0),
    last_position    bigint      NOT NULL DEFAULT 0 CHECK (last_position >= 0),
    last_recorded_at timestamptz NOT NULL DEFAULT to_timestamp(0)
) WITH (fillfactor = 10);
