//! A saga that waits for people: put down, and looked at again once it has waited for longer than expected.
//!
//! Whatever people append makes it due at once; the second look is for what goes wrong with that, and for those who wait too long: they are
//! counted and told, once for each time that they wait as long again.
use crate::driver::Driver;
use crate::job::Leave;
use crate::metrics;
use commands::history::SAGA_TIMER;
use commands::patience::{Patience, patience};
use domain::StreamKind;
use domain::saga::SagaRef;
use std::time::Duration;
use tokio::time::Instant;

impl Driver<'_> {
    /// Puts it down until then. Its timer in the store says the same: if the append that left it waiting was ours it does already.
    pub(crate) async fn wait_for_people(&self) -> Leave {
        let Some(patience) = patience(&self.history.fulfillment, self.order) else { return Leave::Idle };
        let now = self.shared.now();
        let waited = self.history.updated_at.and_then(|since| (now - since).to_std().ok()).unwrap_or(Duration::ZERO);
        let left = match patience.lasts.saturating_sub(waited) {
            Duration::ZERO => {
                self.tell_overdue(patience, waited);
                patience.lasts
            }
            left => left,
        };
        if self.appended != self.history.position {
            let stream = self.history.stream(StreamKind::Order);
            self.shared.move_timer(self.shared.later(stream, SAGA_TIMER, left, self.history.position)).await;
        }
        Leave::Until { due: Instant::now() + left, parked: None }
    }

    fn tell_overdue(&self, Patience { which, on, .. }: Patience, waited: Duration) {
        let Some(saga) = self.history.fulfillment.one(self.order, which) else { return };
        let (step, ..) = saga.at();
        metrics::overdue(step, on);
        let (order_id, saga_id) = (self.order, SagaRef { order: self.order, which });
        let (waiting_on, seconds) = (on.name(), waited.as_secs());
        tracing::warn!(%order_id, %saga_id, step, waiting_on, seconds, "the saga waits for longer than expected");
    }
}
