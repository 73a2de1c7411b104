//! Many sagas, one after the other at a set rate: first what will come of it, then a question, then the work, which can be stopped.
use super::{
    How,
    ask::{Answer, Asked},
    forecast::grouped,
    report::Report,
};
use crate::{
    cli::{
        client::Client,
        confirm,
        words::{plural, printable},
    },
    lifecycle,
};
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Tried out before it is asked.
const SAMPLE: usize = 20;
/// What is under way at a stop may take so long; its key makes it safe to ask again.
const FINISH_WITHIN: Duration = Duration::from_secs(3);

pub(super) struct Batch<'a> {
    pub(super) client: &'a Client,
    pub(super) asked: &'a Asked,
    pub(super) how: &'a How,
    pub(super) id: Uuid,
    pub(super) sagas: Vec<String>,
    /// How many the filter finds, these among them.
    pub(super) total: usize,
}

/// Why it did not come to its end.
enum Ended {
    All,
    Stopped,
    Failed(anyhow::Error),
}

impl Batch<'_> {
    /// `false`: not all of it was done.
    pub(super) async fn run(&self) -> Result<bool> {
        if self.sagas.is_empty() {
            match self.how.json {
                true => say!("{}", json!({"found": 0})),
                false => say!("there are none"),
            }
            return Ok(true);
        }
        let stop = lifecycle::stop_on_signal()?;
        if self.how.dry_run {
            return self.try_out(&stop).await;
        }
        if !self.how.yes && !self.is_wanted().await? {
            return Ok(false);
        }
        let mut report = Report::default();
        let ended = self.work(&mut report, &stop).await;
        self.tell(&report, &ended);
        match ended {
            Ended::Failed(error) => Err(error),
            Ended::All => Ok(report.refused() == 0),
            Ended::Stopped => Ok(false),
        }
    }

    fn count(&self) -> String {
        let found = plural(self.sagas.len(), "saga");
        match self.sagas.len() < self.total {
            true => format!("{found}, the oldest of {}", self.total),
            false => found,
        }
    }

    /// All of it dry.
    async fn try_out(&self, stop: &CancellationToken) -> Result<bool> {
        let mut answers = Vec::with_capacity(self.sagas.len());
        let mut turns = interval(Duration::from_secs(1) / self.how.rate);
        for saga in &self.sagas {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = turns.tick() => answers.push(self.asked.try_out(self.client, saga).await?),
            }
        }
        let groups = grouped(&answers);
        if self.how.json {
            say!("{}", json!({"found": self.total, "tried_out": answers.len(), "would": groups}));
        } else {
            say!("{} {}, tried out:", self.asked.verb, self.count());
            groups.iter().for_each(|group| say!("  {}", printable(group)));
        }
        let all_tried = answers.len() == self.sagas.len();
        Ok(all_tried && !answers.iter().any(|answer| matches!(answer, Answer::Refused { .. })))
    }

    async fn is_wanted(&self) -> Result<bool> {
        let mut answers = Vec::new();
        for saga in self.sagas.iter().take(SAMPLE) {
            answers.push(self.asked.try_out(self.client, saga).await?);
        }
        // Beside what a program reads.
        let of = if answers.len() < self.sagas.len() {
            format!("; {} of them tried out", answers.len())
        } else {
            String::new()
        };
        eprintln!("{} {}{of}:", self.asked.verb, self.count());
        grouped(&answers).iter().for_each(|group| eprintln!("  {}", printable(group)));
        let question =
            format!("{} {}, at most {} a second?", self.asked.verb, plural(self.sagas.len(), "saga"), self.how.rate);
        match confirm::ask(&question)? {
            Some(true) => Ok(true),
            Some(false) => {
                eprintln!("nothing was done");
                Ok(false)
            }
            None => bail!("nothing was done: without a terminal it takes --yes"),
        }
    }

    async fn work(&self, report: &mut Report, stop: &CancellationToken) -> Ended {
        let bar = ProgressBar::new(self.sagas.len() as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len}  {msg}  {elapsed} of about {duration}")
        {
            bar.set_style(style);
        }
        let mut turns = interval(Duration::from_secs(1) / self.how.rate);
        // After a pause no storm.
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = 'all: {
            for saga in &self.sagas {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break 'all Ended::Stopped,
                    _ = turns.tick() => {}
                }
                match self.ask(saga, stop).await {
                    Some(Ok(answer)) => report.take(saga, &answer),
                    Some(Err(error)) => break 'all Ended::Failed(error),
                    None => break 'all Ended::Stopped,
                }
                bar.inc(1);
                bar.set_message(format!("{} refused", report.refused()));
            }
            Ended::All
        };
        bar.finish_and_clear();
        ended
    }

    /// `None`: it was stopped before there was an answer.
    async fn ask(&self, saga: &str, stop: &CancellationToken) -> Option<Result<Answer>> {
        let mut asking = std::pin::pin!(self.asked.ask(self.client, saga, self.id));
        tokio::select! {
            answer = &mut asking => Some(answer),
            () = stop.cancelled() => timeout(FINISH_WITHIN, asking).await.ok(),
        }
    }

    fn tell(&self, report: &Report, ended: &Ended) {
        let of = self.sagas.len();
        if self.how.json {
            let (mut told, is_whole) = (report.json(of), matches!(ended, Ended::All));
            told["batch"] = self.id.to_string().into();
            told["found"] = self.total.into();
            told["stopped"] = (!is_whole).into();
            say!("{told}");
            return;
        }
        say!("{}", printable_lines(&report.table(of)));
        if !matches!(ended, Ended::All) {
            say!("stopped; the same command with --batch {} goes on and does nothing twice", self.id);
        } else if of < self.total {
            say!("{} more were found than --limit takes", self.total - of);
        }
    }
}

fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}
