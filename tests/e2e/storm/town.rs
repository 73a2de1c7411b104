//! What all who take part in a storm know together, and what they found wrong.
use super::line::{Line, Told};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Sagas that operators pick from: the youngest have not ended yet.
const RECENT: usize = 12;
/// Findings that are told.
const MAX_FINDINGS: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Completed,
    Cancelled,
}

/// One order, as those who dealt with it were told.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) token: &'static str,
    pub(super) cents: i64,
    /// It may be that its goods are not there.
    pub(super) is_scarce: bool,
    /// A cancel of it was accepted.
    pub(super) cancelled: bool,
    pub(super) placed_at: Instant,
    pub(super) end: Option<(End, Instant)>,
    pub(super) returned: Option<Returned>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Returned {
    /// Its goods came back, on a label that is used.
    pub(super) received: bool,
    pub(super) refund_cents: i64,
}

#[derive(Default)]
pub(super) struct Books {
    pub(super) orders: BTreeMap<String, Order>,
    pub(super) recent: VecDeque<String>,
    /// Orders of which an operator passed a step over, or of a return of which.
    pub(super) skipped: BTreeSet<String>,
    pub(super) compensated: BTreeSet<String>,
    /// Orders of which an operator was granted anything.
    pub(super) touched: BTreeSet<String>,
    /// Orders that staff shipped.
    pub(super) shipped_by_staff: BTreeSet<String>,
    /// How often each verb was granted.
    pub(super) verbs: BTreeMap<&'static str, usize>,
    pub(super) faults: BTreeMap<&'static str, usize>,
    /// When faults were about.
    pub(super) rough: Vec<(Instant, Instant)>,
    pub(super) pids: Vec<(String, u32)>,
    pub(super) last_end: Option<Instant>,
    /// While it stormed.
    pub(super) longest_without_end: Duration,
    is_clear: bool,
    findings: Vec<String>,
    found: usize,
}

#[derive(Clone)]
pub(super) struct Town {
    pub(super) line: Line,
    pub(super) seed: u64,
    pub(super) sku: String,
    pub(super) scarce: String,
    books: Arc<Mutex<Books>>,
    /// No more orders are placed, no more faults come.
    is_clear: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    pub(super) open: Arc<AtomicUsize>,
}

impl Town {
    pub(super) fn new(line: Line, seed: u64, sku: String, scarce: String) -> Town {
        let (books, is_clear, is_over, open) = Default::default();
        Town { line, seed, sku, scarce, books, is_clear, is_over, open }
    }

    pub(super) fn books<T>(&self, look: impl FnOnce(&mut Books) -> T) -> T {
        look(&mut self.books.lock().unwrap())
    }

    pub(super) fn clear_up(&self) {
        self.books(|books| books.is_clear = true);
        self.is_clear.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_clear(&self) -> bool {
        self.is_clear.load(Ordering::Relaxed)
    }

    /// Nobody goes on, whatever has ended or not.
    pub(super) fn call_off(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Something that must not be.
    pub(super) fn found(&self, finding: String) {
        self.books(|books| {
            books.found += 1;
            if books.findings.len() < MAX_FINDINGS {
                println!("WRONG: {finding}");
                books.findings.push(finding);
            }
        });
    }

    /// An answer that nobody may get.
    pub(super) fn odd(&self, what: &str, told: &Told) {
        self.found(format!("{what}: {} {}", told.status, told.body));
    }

    pub(super) fn findings(&self) -> (usize, Vec<String>) {
        self.books(|books| (books.found, books.findings.clone()))
    }
}

impl Books {
    /// A saga that operators may pick.
    pub(super) fn begins(&mut self, saga: String) {
        self.recent.push_back(saga);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    pub(super) fn ends(&mut self, id: &str, end: End) {
        let now = Instant::now();
        if let Some(order) = self.orders.get_mut(id) {
            order.end = Some((end, now));
        }
        if !self.is_clear {
            let gap = self.last_end.map_or(Duration::ZERO, |last| now - last);
            self.longest_without_end = self.longest_without_end.max(gap);
        }
        self.last_end = Some(now);
    }

    pub(super) fn ended(&self, wanted: End) -> usize {
        self.orders.values().filter(|order| order.end.is_some_and(|(end, _)| end == wanted)).count()
    }

    pub(super) fn count(&mut self, verb: &'static str) {
        *self.verbs.entry(verb).or_default() += 1;
    }
}

/// The order of an id of any kind: of an order, its saga or its fulfillment, or one of its returns.
pub(super) fn order_of(id: &str) -> String {
    let digits = id.split('_').nth(1).unwrap_or_default();
    format!("ord_{digits}")
}
