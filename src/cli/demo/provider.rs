//! A simulated provider by its side door: how it behaves, how often it was asked, and its own ledger.
use crate::simulate::Standing;
use anyhow::{Context, Result, bail};
use sagas::participants::Mode;
use serde::Deserialize;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(5);
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);
const PAGE: usize = 10_000;

#[derive(Debug)]
pub(super) struct Provider {
    name: &'static str,
    url: String,
    http: reqwest::Client,
}

/// What it did, as it wrote it down itself.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) kind: String,
    /// The order's id.
    pub(super) reference: String,
}

impl Provider {
    /// Refuses what is no simulator of ours.
    pub(super) async fn open(name: &'static str, url: Option<String>) -> Result<Provider> {
        let Some(url) = url else {
            bail!("the {name} provider is no simulator of its own: start `waybill up` with WAYBILL_PARTICIPANTS unset");
        };
        let http = reqwest::Client::builder().no_proxy().timeout(WITHIN).build()?;
        let provider = Provider { name, url, http };
        let refusal = || {
            format!(
                "the {name} provider at {} is not a simulator of ours, and the demo breaks none but those",
                provider.url
            )
        };
        provider.standing().await.with_context(refusal)?;
        Ok(provider)
    }

    pub(super) async fn standing(&self) -> Result<Standing> {
        let answer = self.http.get(format!("{}/control", self.url)).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    pub(super) async fn calls(&self) -> Result<u64> {
        Ok(self.standing().await?.calls())
    }

    pub(super) async fn set(&self, mode: Mode) -> Result<()> {
        let mut tries = 0;
        loop {
            let answer = self.http.post(format!("{}/control", self.url)).json(&mode).send().await;
            tries += 1;
            match answer.and_then(reqwest::Response::error_for_status) {
                Ok(_) => return Ok(()),
                Err(error) if tries == TRIES => {
                    return Err(error).with_context(|| format!("the {} simulator can't be set to {mode:?}", self.name));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// What came after this entry.
    pub(super) async fn ledger(&self, mut after: u64) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        loop {
            let url = format!("{}/ledger?after={after}&limit={PAGE}", self.url);
            let page: Vec<Entry> = self.http.get(url).send().await?.error_for_status()?.json().await?;
            let Some(last) = page.last() else { return Ok(entries) };
            after = last.seq;
            entries.extend(page);
        }
    }
}
