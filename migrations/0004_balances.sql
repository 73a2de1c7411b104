-- Guarded counters, changed only by `append_batch` under its log's counter row. Derived: events say the same.
CREATE TABLE balances (
    account text COLLATE "C" PRIMARY KEY,
    balance bigint           NOT NULL
) WITH (fillfactor = 50);
