-- Several programs may run the projections: one drives, the others stand by. Whoever takes over raises the epoch, and whoever drove before
-- writes no more, though its checkpoint has not moved.
ALTER TABLE read.projections ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
