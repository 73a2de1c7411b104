//! Makes claims older than they are, since no test waits for a day.
use crate::{MemoryEventStore, PgEventStore};
use sqlx::{AssertSqlSafe, Executor};
use std::future::Future;

pub trait AgeClaims {
    /// As if every claim that expires had been made so many days earlier.
    fn age_claims(&self, days: u32) -> impl Future<Output = ()> + Send;
}

impl AgeClaims for MemoryEventStore {
    async fn age_claims(&self, days: u32) {
        self.make_claims_older(days.into());
    }
}

impl AgeClaims for PgEventStore {
    async fn age_claims(&self, days: u32) {
        let older = format!(
            "DO $$
             DECLARE v_day date;
             BEGIN
                 FOR v_day IN SELECT DISTINCT day - {days} FROM expiring_claims EXCEPT SELECT day FROM claim_days LOOP
                     EXECUTE format('CREATE TABLE %I PARTITION OF expiring_claims FOR VALUES FROM (%L) TO (%L)',
                                    'expiring_claims_' || to_char(v_day, 'YYYYMMDD'), v_day, v_day + 1);
                 END LOOP;
                 UPDATE expiring_claims SET day = day - {days};
             END $$"
        );
        self.pool().execute(AssertSqlSafe(older)).await.unwrap();
    }
}
