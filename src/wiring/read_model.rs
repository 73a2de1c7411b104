//! The read model as this process has it: kept up by itself, or looked at while another process does that.
use super::core::Core;
use commands::{OutcomeView, Outcomes};
use eventstore::Position;
use queries::projections::{Awaited, ChangedOrder, Handle, ProjectionObserver, Runner, Watch};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Keeps it up, or stands by as long as another process does.
pub(super) fn run(core: &Core, outcomes: &Arc<Outcomes>, stop: &CancellationToken) -> (JoinHandle<()>, Handle) {
    let waiters = Arc::new(Waiters(outcomes.clone()));
    let (runner, handle) = Runner::new(core.store.clone(), &core.database, waiters.clone());
    (tokio::spawn(runner.with_awaited(waiters).run(stop.clone())), handle)
}

/// Only looks how far it is, for those who wait here.
pub(super) fn look(core: &Core, outcomes: &Arc<Outcomes>, stop: &CancellationToken) -> (JoinHandle<()>, Handle) {
    let waiters = Arc::new(Waiters(outcomes.clone()));
    let (watch, handle) = Watch::new(&core.database, waiters.clone(), waiters);
    (tokio::spawn(watch.run(stop.clone())), handle)
}

/// Those who wait for an order: they are told that the read model now shows it.
#[derive(Debug)]
struct Waiters(Arc<Outcomes>);

impl Awaited for Waiters {
    fn orders(&self) -> Vec<Uuid> {
        self.0.awaited()
    }
}

impl ProjectionObserver for Waiters {
    fn committed(&self, position: Position, orders: &[ChangedOrder]) {
        for order in orders.iter().filter(|order| self.0.is_awaited(order.order_id)) {
            let view = OutcomeView {
                status: order.status,
                status_reason: order.status_reason.clone(),
                position: order.position,
                version: order.version,
                ended: order.ended,
            };
            self.0.committed(order.order_id, view);
        }
        self.0.applied(position);
    }
}
