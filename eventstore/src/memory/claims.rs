//! Claims in memory: for ever, or seen on the UTC day of their append and on the next.
use crate::{Claim, ClaimRecord, Lifetime, Position};
use chrono::{Days, NaiveDate};
use std::collections::BTreeMap;

type Key = (String, String);

#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    ever: BTreeMap<Key, ClaimRecord>,
    lately: BTreeMap<Key, (NaiveDate, ClaimRecord)>,
    /// The day on which what was over was last let go.
    swept: NaiveDate,
}

impl Claims {
    /// Who holds it on this day.
    pub(super) fn get(&self, scope: &str, key: &str, today: NaiveDate) -> Option<&ClaimRecord> {
        let key = (scope.to_owned(), key.to_owned());
        let lately = || self.lately.get(&key).filter(|(day, _)| is_seen(*day, today)).map(|(_, held)| held);
        self.ever.get(&key).or_else(lately)
    }

    pub(super) fn take(&mut self, claim: Claim, position: Position, today: NaiveDate) {
        let Claim { scope, key, holder, fingerprint, lifetime } = claim;
        let name = (scope.clone(), key.clone());
        let record = ClaimRecord { scope, key, holder, fingerprint, position };
        match lifetime {
            Lifetime::Forever => {
                self.ever.insert(name, record);
            }
            Lifetime::Day => {
                if self.swept != today {
                    self.lately.retain(|_, (day, _)| is_seen(*day, today));
                    self.swept = today;
                }
                self.lately.insert(name, (today, record));
            }
        }
    }

    /// As if so many days had gone by since.
    #[cfg(feature = "testing")]
    pub(super) fn age(&mut self, days: u64) {
        for (day, _) in self.lately.values_mut() {
            *day = *day - Days::new(days);
        }
    }
}

fn is_seen(day: NaiveDate, today: NaiveDate) -> bool {
    day + Days::new(1) >= today
}
