-- What is due, by an index that knows nothing of streams. Timers come and go, so that statistics say at times that there is hardly any; then an index
-- with the stream in its last column seemed as good for finding one timer as the primary key is. It isn't: all of it was read to clear a timer, and all
-- that had been cleared since the last vacuum with it. Whatever reads what is due, the release before included, reads this one.
CREATE INDEX timers_due_at ON timers (log, slot, due_at);
DROP INDEX timers_due;
