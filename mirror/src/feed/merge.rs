//! The partitions' records, each partition checked by its chain, merged by position. Holds one record a partition.
use super::unavailable;
use crate::{
    Place, Routing, foreign,
    lanes::{Lanes, Next, Read},
    topics::Lane,
};
use eventstore::{FeedError, Lives, Position, RecordedEvent};
use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

pub(super) struct Merge {
    lanes: Lanes,
    routing: Arc<Routing>,
    states: Vec<LaneState>,
    /// The heads by position.
    ready: BTreeSet<(Position, Lane)>,
    woken: Arc<Notify>,
    waiting_since: Instant,
}

#[derive(Debug)]
struct LaneState {
    head: Option<RecordedEvent>,
    /// The last place that was read, for the chain.
    last: Place,
    /// Whether `last` is that of a record, and not just where the lane began.
    linked: bool,
}

impl fmt::Debug for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").field("lanes", &self.lanes).field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl Merge {
    /// All lanes are read after this place.
    pub(super) fn new(lanes: Lanes, routing: Arc<Routing>, after: Place) -> Merge {
        let states = (0..routing.lane_count()).map(|_| LaneState { head: None, last: after, linked: false }).collect();
        let (woken, waiting_since) = (lanes.woken(), Instant::now());
        Merge { lanes, routing, states, ready: BTreeSet::new(), woken, waiting_since }
    }

    /// Told whenever something may have come.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Takes the event of this position, if it has come; its lane must then be filled again.
    pub(super) fn take(&mut self, position: Position) -> Option<(Lane, RecordedEvent)> {
        let (_, lane) = *self.ready.first().filter(|(first, _)| *first == position)?;
        self.ready.pop_first();
        self.waiting_since = Instant::now();
        Some((lane, self.states[lane.0].head.take()?))
    }

    /// A later position that has come while the next one hasn't, for this long.
    pub(super) fn overdue(&mut self, patience: Duration) -> Option<Position> {
        let Some((later, _)) = self.ready.first() else {
            self.waiting_since = Instant::now();
            return None;
        };
        (self.waiting_since.elapsed() > patience).then_some(*later)
    }

    /// Gets each lane's next event, where it has come.
    pub(super) fn fill(&mut self, lives: &mut Lives) -> Result<(), FeedError> {
        self.lanes.serve().map_err(unavailable)?;
        loop {
            let known = lives.current();
            for lane in 0..self.states.len() {
                self.fill_lane(Lane(lane), lives)?;
            }
            if lives.current() == known {
                return Ok(());
            }
            // A later life has begun: what is gone by that is passed over.
            for (lane, state) in self.states.iter_mut().enumerate() {
                if let Some(gone) = state.head.take_if(|event| Place::of(event).is_abandoned(lives)) {
                    self.ready.remove(&(gone.position, Lane(lane)));
                }
            }
        }
    }

    pub(super) fn fill_lane(&mut self, lane: Lane, lives: &mut Lives) -> Result<(), FeedError> {
        let state = &mut self.states[lane.0];
        while state.head.is_none() {
            match self.lanes.next(lane, Duration::ZERO).map_err(unavailable)? {
                Next::End => {}
                Next::Nothing => break,
                Next::Record(read) => {
                    if let Some(event) = state.link(*read, lives, &self.routing, lane)? {
                        self.ready.insert((event.position, lane));
                        state.head = Some(event);
                    }
                }
            }
        }
        Ok(())
    }
}

impl LaneState {
    /// Drops what was seen, what is gone and what isn't ours; fails where the chain is broken.
    fn link(
        &mut self,
        read: Read,
        lives: &mut Lives,
        routing: &Routing,
        lane: Lane,
    ) -> Result<Option<RecordedEvent>, FeedError> {
        let decoded = match read.decoded {
            Ok(decoded) => decoded,
            Err(error) => {
                foreign::pass_over(routing, lane, read.offset, &error);
                return Ok(None);
            }
        };
        let place = decoded.place();
        if place.incarnation > lives.current() {
            *lives = decoded.known_lives();
        }
        let (event, prev) = (decoded.event, decoded.prev);
        if place <= self.last {
            return Ok(None);
        }
        // The first one may follow any that lies before our start.
        let whole = if self.linked { prev == self.last } else { prev <= self.last };
        if !whole {
            let why = format!("{place} follows {prev}, but {} was read last in its partition", self.last);
            return Err(FeedError::Corrupt(why));
        }
        self.last = place;
        self.linked = true;
        Ok((!place.is_abandoned(lives)).then_some(event))
    }
}
