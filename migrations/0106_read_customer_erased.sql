-- When the customer's personal data was erased. No event of before says so: rows that are there need no building anew.
ALTER TABLE read.orders ADD COLUMN customer_erased_at timestamptz;
