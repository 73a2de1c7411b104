//! One request to one saga, and what it comes to.
use crate::cli::client::{self, Client};
use anyhow::{Result, bail};
use domain::saga::operator::Verb;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use uuid::Uuid;

/// What is asked of each saga.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) verb: Verb,
    pub(super) body: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum Answer {
    /// It goes on from there.
    Done {
        state: String,
        step: String,
    },
    /// It was so already.
    Unchanged {
        state: String,
        step: String,
    },
    /// Only tried out.
    Would {
        would: String,
        effects: Vec<String>,
    },
    Refused {
        code: String,
        detail: String,
        supported_actions: Vec<String>,
    },
}

#[derive(Deserialize)]
struct Body {
    state: String,
    step: String,
    /// A server of an earlier release does not say.
    #[serde(default = "yes")]
    changed: bool,
    would: Option<String>,
    #[serde(default)]
    effects: Vec<String>,
}

fn yes() -> bool {
    true
}

impl Asked {
    /// Safe to repeat: the key is the batch's and the saga's.
    pub(super) async fn ask(&self, client: &Client, saga: &str, batch: Uuid) -> Result<Answer> {
        let path = format!("/v1/sagas/{saga}/{}", self.verb);
        self.send(client, &path, &format!("cli-{}-{}-{saga}", batch.simple(), self.verb)).await
    }

    pub(super) async fn try_out(&self, client: &Client, saga: &str) -> Result<Answer> {
        let path = format!("/v1/sagas/{saga}/{}?dry_run=true", self.verb);
        self.send(client, &path, &format!("cli-dry-{}", Uuid::now_v7().simple())).await
    }

    async fn send(&self, client: &Client, path: &str, key: &str) -> Result<Answer> {
        let build =
            |client: &Client| client.request(Method::POST, path).header("idempotency-key", key).json(&self.body);
        understood(&client.send(build).await?)
    }
}

/// What concerns this saga alone is an answer; what would meet every other as well is an error.
fn understood(answer: &client::Answer) -> Result<Answer> {
    if answer.status.is_success() {
        let Body { state, step, changed, would, effects } = answer.json()?;
        return Ok(match would {
            Some(would) => Answer::Would { would, effects },
            None if changed => Answer::Done { state, step },
            None => Answer::Unchanged { state, step },
        });
    }
    let problem = answer.problem();
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::INTERNAL_SERVER_ERROR => Ok(Answer::Refused {
            code: problem.code,
            detail: problem.detail,
            supported_actions: problem.supported_actions,
        }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            bail!("the key is refused ({}): it takes one of the role operator", answer.status)
        }
        _ if problem.code == "idempotency_key_reused" => {
            bail!("this batch was begun with other words; repeat them, or leave --batch out")
        }
        status => bail!("the server answers {status}: {}", problem.detail),
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done { state, step } => write!(f, "done: it is {state} at {step}"),
            Answer::Unchanged { state, step } => write!(f, "unchanged, it was so already: it is {state} at {step}"),
            Answer::Would { would, .. } => f.write_str(would),
            Answer::Refused { detail, supported_actions, .. } if supported_actions.is_empty() => {
                write!(f, "refused: {detail}")
            }
            Answer::Refused { detail, supported_actions, .. } => {
                write!(f, "refused: {detail}. It can be asked for: {}", supported_actions.join(", "))
            }
        }
    }
}
