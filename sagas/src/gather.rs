//! Questions that come one at a time and are answered many at a time, as appends are by group commit: whoever asks while others are being
//! answered goes with the next batch. Alone, nobody waits.
//!
//! Bounded by those who ask: each waits for its answer and asks nothing meanwhile.
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Answers as many as it is asked, in their order.
type Work<Q, A> = Box<dyn Fn(Vec<Q>) -> BoxFuture<'static, Vec<A>> + Send + Sync>;

pub(crate) struct Gather<Q, A> {
    shared: Arc<Shared<Q, A>>,
}

struct Shared<Q, A> {
    work: Work<Q, A>,
    /// In one batch.
    most: usize,
    /// Batches at a time: one that hangs does not hold up the others.
    lanes: usize,
    asked: Mutex<Asked<Q, A>>,
}

struct Asked<Q, A> {
    waiting: VecDeque<(Q, oneshot::Sender<A>)>,
    busy: usize,
}

impl<Q, A> fmt::Debug for Gather<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("most", &self.shared.most).finish_non_exhaustive()
    }
}

impl<Q: Send + 'static, A: Send + 'static> Gather<Q, A> {
    pub(crate) fn new<F>(most: usize, lanes: usize, work: impl Fn(Vec<Q>) -> F + Send + Sync + 'static) -> Gather<Q, A>
    where
        F: Future<Output = Vec<A>> + Send + 'static,
    {
        let work: Work<Q, A> = Box::new(move |batch| Box::pin(work(batch)));
        let asked = Mutex::new(Asked { waiting: VecDeque::new(), busy: 0 });
        Gather { shared: Arc::new(Shared { work, most: most.max(1), lanes: lanes.max(1), asked }) }
    }

    /// `None`: whoever was to answer is gone.
    pub(crate) async fn ask(&self, question: Q) -> Option<A> {
        let (sender, answer) = oneshot::channel();
        let is_free = {
            let mut asked = self.shared.lock();
            asked.waiting.push_back((question, sender));
            let is_free = asked.busy < self.shared.lanes;
            asked.busy += usize::from(is_free);
            is_free
        };
        if is_free {
            // A task of its own: that one of those who ask goes away breaks off no other's answer.
            tokio::spawn(Lane { shared: Arc::clone(&self.shared), is_free: false }.run());
        }
        answer.await.ok()
    }
}

impl<Q, A> Shared<Q, A> {
    fn lock(&self) -> MutexGuard<'_, Asked<Q, A>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch. `None`: there is none, and the lane is free.
    fn next(&self) -> Option<(Vec<Q>, Vec<oneshot::Sender<A>>)> {
        let mut asked = self.lock();
        let count = asked.waiting.len().min(self.most);
        if count == 0 {
            asked.busy -= 1;
            return None;
        }
        Some(asked.waiting.drain(..count).unzip())
    }
}

struct Lane<Q, A> {
    shared: Arc<Shared<Q, A>>,
    is_free: bool,
}

impl<Q, A> Lane<Q, A> {
    async fn run(mut self) {
        while let Some((questions, senders)) = self.shared.next() {
            let answers = (self.shared.work)(questions).await;
            for (sender, answer) in senders.into_iter().zip(answers) {
                // Whoever asked may be gone.
                let _ = sender.send(answer);
            }
        }
        self.is_free = true;
    }
}

/// Whatever became of its work, a lane is not lost.
impl<Q, A> Drop for Lane<Q, A> {
    fn drop(&mut self) {
        if !self.is_free {
            self.shared.lock().busy -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gather;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use tokio::time::sleep;

    /// The sizes of batches.
    type Sizes = Arc<Mutex<Vec<usize>>>;

    /// Doubles what it is given, in a second.
    fn doubling(most: usize, lanes: usize) -> (Arc<Gather<u64, u64>>, Sizes) {
        let sizes = Sizes::default();
        let seen = sizes.clone();
        let work = move |batch: Vec<u64>| {
            seen.lock().unwrap().push(batch.len());
            async move {
                sleep(Duration::from_secs(1)).await;
                assert!(!batch.contains(&13), "thirteen");
                batch.into_iter().map(|n| 2 * n).collect()
            }
        };
        (Arc::new(Gather::new(most, lanes, work)), sizes)
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_while_others_are_answered_goes_with_the_next_batch_and_gets_his_own_answer() {
        let (gather, sizes) = doubling(100, 2);
        let ask = |n| {
            let gather = gather.clone();
            async move { gather.ask(n).await }
        };
        assert_eq!(ask(1).await, Some(2));
        let answers = futures_util::future::join_all((20..520).map(ask)).await;
        assert!(answers.into_iter().zip(20..).all(|(answer, n)| answer == Some(2 * n)));
        let sizes = sizes.lock().unwrap().clone();
        assert!(sizes[0] == 1 && sizes.iter().all(|size| *size <= 100), "{sizes:?}");
        assert!(sizes.len() <= 8, "501 questions in {sizes:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_and_who_fails_hold_up_nobody() {
        let (gather, _) = doubling(100, 1);
        assert!(tokio::time::timeout(Duration::from_millis(10), gather.ask(1)).await.is_err());
        assert_eq!(gather.ask(2).await, Some(4));
        assert_eq!(gather.ask(13).await, None, "its work panicked");
        assert_eq!(gather.ask(3).await, Some(6));
    }
}
