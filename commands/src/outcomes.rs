//! Who waits for an order to end. Subscribed to before the append, woken when the read model has shown what happened.
//!
//! The projections' runner tells it, after its commit: [`Outcomes::committed`] for an order that changed, [`Outcomes::applied`] for
//! how far the read model has come. Bounded: past [`MAX_WAITING`] orders nobody else waits, and is answered at once.
use domain::{OrderId, fulfillment::OrderStatus};
use eventstore::Position;
use metrics::gauge;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

/// The most orders that are waited for at once.
pub const MAX_WAITING: usize = 20_000;

/// An order as the read model shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeView {
    pub status: OrderStatus,
    pub status_reason: Option<String>,
    /// Of the order's last event.
    pub position: Position,
    /// How many events the order's own stream holds.
    pub version: i32,
    /// COMPLETED or CANCELLED.
    pub ended: bool,
}

#[derive(Debug)]
pub struct Outcomes {
    waiting: Mutex<HashMap<Uuid, Waiting>>,
    applied: watch::Sender<Position>,
    closing: watch::Sender<bool>,
}

#[derive(Debug)]
struct Waiting {
    subscribers: usize,
    seen: watch::Sender<Option<OutcomeView>>,
}

/// How a wait came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The order has ended, and the read model shows it. The view is absent when the waiter knew it already.
    Ended(Option<OutcomeView>),
    TimedOut,
    /// The server stops: what was last seen, if anything.
    Closing(Option<OutcomeView>),
}

impl Default for Outcomes {
    fn default() -> Self {
        Outcomes {
            waiting: Mutex::default(),
            applied: watch::Sender::new(Position::ZERO),
            closing: watch::Sender::new(false),
        }
    }
}

impl Outcomes {
    pub fn new() -> Arc<Outcomes> {
        Arc::default()
    }

    /// Must come before the append or the read that it is to follow on. `None` when too many wait already.
    pub fn subscribe(self: &Arc<Self>, order: OrderId) -> Option<Subscription> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_WAITING && !waiting.contains_key(&order.0) {
            return None;
        }
        let entry =
            waiting.entry(order.0).or_insert_with(|| Waiting { subscribers: 0, seen: watch::Sender::new(None) });
        entry.subscribers += 1;
        let seen = entry.seen.subscribe();
        gauge!("waybill_orders_awaited").set(waiting.len() as f64);
        Some(Subscription {
            outcomes: self.clone(),
            order: order.0,
            seen,
            applied: self.applied.subscribe(),
            closing: self.closing.subscribe(),
        })
    }

    /// Whether anyone waits for this order; cheap, so that views are made only for those.
    pub fn is_awaited(&self, order: OrderId) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&order.0)
    }

    /// All orders that are waited for.
    pub fn awaited(&self) -> Vec<Uuid> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// The read model now shows this of the order. Only its end wakes who waits for it; what comes before is there for whoever gives up.
    pub fn committed(&self, order: OrderId, view: OutcomeView) {
        if let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&order.0) {
            waiting.seen.send_if_modified(|seen| {
                let ended = view.ended;
                *seen = Some(view);
                ended
            });
        }
    }

    /// The read model now shows everything up to here. To be told at the start as well.
    pub fn applied(&self, position: Position) {
        self.applied.send_if_modified(|applied| {
            let further = position > *applied;
            *applied = position.max(*applied);
            further
        });
    }

    /// How far the read model has come.
    pub fn reached(&self) -> Position {
        *self.applied.borrow()
    }

    /// Ends every wait, now and from now on.
    pub fn shutdown(&self) {
        self.closing.send_replace(true);
    }
}

/// A wait for one order.
#[derive(Debug)]
pub struct Subscription {
    outcomes: Arc<Outcomes>,
    order: Uuid,
    seen: watch::Receiver<Option<OutcomeView>>,
    applied: watch::Receiver<Position>,
    closing: watch::Receiver<bool>,
}

impl Subscription {
    /// Waits until the order has ended and the read model shows it. `ended_at`: the position of its end, when that is known already.
    pub async fn ended(&mut self, ended_at: Option<Position>, until: Instant) -> Waited {
        let Subscription { seen, applied, closing, .. } = self;
        let mut last_seen = seen.clone();
        let shown = async {
            match ended_at {
                Some(position) => applied.wait_for(|applied| *applied >= position).await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            view = seen.wait_for(|view| view.as_ref().is_some_and(|view| view.ended)) => {
                Waited::Ended(view.ok().and_then(|view| view.clone()))
            }
            _ = shown => Waited::Ended(None),
            _ = closing.wait_for(|closing| *closing) => Waited::Closing(last_seen.borrow_and_update().clone()),
            () = tokio::time::sleep_until(until) => Waited::TimedOut,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut waiting = self.outcomes.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = waiting.get_mut(&self.order) {
            entry.subscribers -= 1;
            if entry.subscribers == 0 {
                waiting.remove(&self.order);
                gauge!("waybill_orders_awaited").set(waiting.len() as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        sync::atomic::{AtomicBool, Ordering},
        task::{Context, Poll, Wake, Waker},
        time::Duration,
    };

    const ORDER: OrderId = OrderId(Uuid::from_u128(7));

    fn view(ended: bool) -> OutcomeView {
        let status = if ended { OrderStatus::Completed } else { OrderStatus::Allocated };
        OutcomeView { status, status_reason: None, position: Position(5), version: 2, ended }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_order_has_ended_and_not_before() {
        let outcomes = Outcomes::new();
        let mut wait = outcomes.subscribe(ORDER).unwrap();
        outcomes.committed(ORDER, view(false));
        assert_eq!(wait.ended(None, soon()).await, Waited::TimedOut);
        outcomes.committed(ORDER, view(true));
        assert_eq!(wait.ended(None, soon()).await, Waited::Ended(Some(view(true))));
    }

    /// Whether who waits was woken.
    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn only_the_end_wakes_who_waits() {
        let outcomes = Outcomes::new();
        let mut wait = outcomes.subscribe(ORDER).unwrap();
        let mut waiting = pin!(wait.ended(None, Instant::now() + Duration::from_secs(60)));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        outcomes.committed(ORDER, view(false));
        outcomes.applied(Position(9));
        assert!(!woken.0.load(Ordering::Relaxed));
        outcomes.committed(ORDER, view(true));
        assert!(woken.0.load(Ordering::Relaxed));
        assert_eq!(waiting.poll(&mut context), Poll::Ready(Waited::Ended(Some(view(true)))));
    }

    #[tokio::test]
    async fn an_order_known_to_have_ended_waits_for_the_read_model_alone() {
        let outcomes = Outcomes::new();
        let mut wait = outcomes.subscribe(ORDER).unwrap();
        outcomes.applied(Position(4));
        assert_eq!(wait.ended(Some(Position(5)), soon()).await, Waited::TimedOut);
        outcomes.applied(Position(5));
        outcomes.applied(Position(3));
        assert_eq!(wait.ended(Some(Position(5)), soon()).await, Waited::Ended(None));
    }

    #[tokio::test]
    async fn a_server_that_stops_ends_every_wait() {
        let outcomes = Outcomes::new();
        let mut wait = outcomes.subscribe(ORDER).unwrap();
        outcomes.committed(ORDER, view(false));
        outcomes.shutdown();
        assert_eq!(wait.ended(None, soon()).await, Waited::Closing(Some(view(false))));
    }

    #[test]
    fn whoever_stops_waiting_leaves_nothing_behind() {
        let outcomes = Outcomes::new();
        let (one, two) = (outcomes.subscribe(ORDER), outcomes.subscribe(ORDER));
        drop(one);
        assert!(outcomes.is_awaited(ORDER));
        drop(two);
        assert!(!outcomes.is_awaited(ORDER));
    }
}
