//! The participants' contract over HTTP: the adapters against the reference providers' servers on a loopback socket.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use sagas::participants::contract::{Harness, Outcome, PATIENT};
use sagas::participants::payment::{AuthorizeRequest, HttpPayment, PaymentPort};
use sagas::participants::shipping::{HttpShipping, ShippingPort};
use sagas::participants::{Amount, Entry, Mode, StepError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use waybill::simulate::{Provider, serve};

/// A provider's server, and its side door.
struct Server {
    addr: SocketAddr,
    side_door: reqwest::Client,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    async fn start(provider: Provider, ledger: &Path, keys: Option<Duration>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let shutdown = CancellationToken::new();
        let (token, ledger) = (shutdown.clone(), ledger.to_owned());
        let task = tokio::spawn(async move { serve(provider, listener, &ledger, keys, token).await });
        // The adapter's constructor sets TLS up for the process, without which no client can be made.
        HttpPayment::new("http://127.0.0.1", PATIENT)?;
        let side_door = reqwest::Client::builder().no_proxy().timeout(PATIENT).build()?;
        let server = Self { addr, side_door, shutdown, task };
        let Err(error) = server.get("/healthz").await else {
            return Ok(server);
        };
        // A server that ended says why.
        server.stop().await?;
        Err(error)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let response = self.side_door.get(self.url(path)).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }

    async fn ledger(&self, query: &str) -> anyhow::Result<Vec<Entry>> {
        let text = self.get(&format!("/ledger{query}")).await?;
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    async fn control(&self, mode: Mode) -> anyhow::Result<()> {
        self.side_door.post(self.url("/control")).json(&mode).send().await?.error_for_status()?;
        Ok(())
    }

    async fn stop(self) -> anyhow::Result<()> {
        drop(self.side_door);
        self.shutdown.cancel();
        self.task.await?
    }
}

struct Payment(Server, HttpPayment);
struct Shipping(Server, HttpShipping);

#[async_trait]
impl Harness for Payment {
    type Port = dyn PaymentPort;

    async fn start_forgetting(ledger: &Path, limit: Duration, keys: Option<Duration>) -> Outcome<Self> {
        let server = Server::start(Provider::Payment, ledger, keys).await?;
        let port = HttpPayment::new(&server.url(""), limit)?.forgetting_keys_after(keys);
        Ok(Self(server, port))
    }

    fn port(&self) -> Arc<dyn PaymentPort> {
        Arc::new(self.1.clone())
    }

    async fn entries(&self) -> Outcome<Vec<Entry>> {
        Ok(self.0.ledger("").await?)
    }

    async fn control(&self, mode: Mode) -> Outcome {
        Ok(self.0.control(mode).await?)
    }

    async fn stop(self) -> Outcome {
        Ok(self.0.stop().await?)
    }
}

#[async_trait]
impl Harness for Shipping {
    type Port = dyn ShippingPort;

    async fn start_forgetting(ledger: &Path, limit: Duration, keys: Option<Duration>) -> Outcome<Self> {
        let server = Server::start(Provider::Shipping, ledger, keys).await?;
        let port = HttpShipping::new(&server.url(""), limit)?.forgetting_keys_after(keys);
        Ok(Self(server, port))
    }

    fn port(&self) -> Arc<dyn ShippingPort> {
        Arc::new(self.1.clone())
    }

    async fn entries(&self) -> Outcome<Vec<Entry>> {
        Ok(self.0.ledger("").await?)
    }

    async fn control(&self, mode: Mode) -> Outcome {
        Ok(self.0.control(mode).await?)
    }

    async fn stop(self) -> Outcome {
        Ok(self.0.stop().await?)
    }
}

mod payment {
    sagas::payment_contract!(super::Payment);
}

mod shipping {
    sagas::shipping_contract!(super::Shipping);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_ledger_is_read_whole_or_in_windows() -> Outcome {
    let folder = tempfile::tempdir()?;
    let harness = Payment::start(&folder.path().join("ledger.jsonl"), PATIENT).await?;
    assert_eq!(harness.0.get("/ledger").await?, "[]");
    let call = |n: usize, port: Arc<dyn PaymentPort>| async move {
        let request = AuthorizeRequest {
            key: format!("k{n}"),
            reference: format!("ord_{n}"),
            amount: Amount::new(5, 0, "JPY"),
            token: "tok_ok".to_owned(),
        };
        port.authorize(&request).await
    };
    for round in 0..25 {
        let calls: Vec<_> = (0..100).map(|n| tokio::spawn(call(round * 100 + n, harness.port()))).collect();
        for call in calls {
            call.await??;
        }
    }
    let seqs = |entries: Vec<Entry>| entries.iter().map(|e| e.seq).collect::<Vec<_>>();
    assert_eq!(seqs(harness.0.ledger("").await?), (1..=2_500).collect::<Vec<_>>());
    assert_eq!(seqs(harness.0.ledger("?after=990&limit=1020").await?), (991..=2_010).collect::<Vec<_>>());
    assert_eq!(seqs(harness.0.ledger("?after=2499").await?), [2_500]);
    assert_eq!(harness.0.get("/ledger?after=9999&limit=1").await?, "[]");
    assert_eq!(harness.0.get("/ledger?limit=0").await?, "[]");
    assert!(harness.0.get("/ledger?before=1").await.is_err());
    let first: serde_json::Value = serde_json::from_str(&harness.0.get("/ledger?limit=1").await?)?;
    let fields: Vec<_> = first[0].as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default();
    assert_eq!(fields.iter().collect::<std::collections::BTreeSet<_>>().len(), 7, "{first}");
    assert_eq!(
        (&first[0]["kind"], &first[0]["amount"], &first[0]["currency"]),
        (&"authorize".into(), &"5".into(), &"JPY".into())
    );
    harness.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_says_how_it_behaves_and_counts_each_call_that_it_was_asked() -> Outcome {
    let folder = tempfile::tempdir()?;
    let harness = Payment::start(&folder.path().join("ledger.jsonl"), PATIENT).await?;
    let told = async || anyhow::Ok(serde_json::from_str::<serde_json::Value>(&harness.0.get("/control").await?)?);
    assert_eq!(told().await?, serde_json::json!({"mode": "ok", "requests": {}, "last_seq": 0}));
    let request = AuthorizeRequest {
        key: "k".to_owned(),
        reference: "ord_1".to_owned(),
        amount: Amount::new(100, 2, "USD"),
        token: "tok_ok".to_owned(),
    };
    harness.port().authorize(&request).await?;
    harness.control(Mode::Down).await?;
    assert!(harness.port().authorize(&request).await.is_err());
    assert_eq!(
        told().await?,
        serde_json::json!({"mode": "down", "requests": {"authorize": 2}, "last_seq": 1}),
        "one was turned away"
    );
    harness.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_not_understood_is_no_refusal_and_does_not_act() -> Outcome {
    let folder = tempfile::tempdir()?;
    let harness = Payment::start(&folder.path().join("ledger.jsonl"), PATIENT).await?;
    let server = &harness.0;
    let good = r#"{"reference":"ord_1","amount":{"value":"1.00","currency":"USD"},"token":"tok_ok"}"#;
    let post = |path: &str, key: Option<&str>, body: &str| {
        let mut request = server.side_door.post(server.url(path)).body(body.to_owned());
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        async move {
            let response = request.send().await?;
            let status = response.status().as_u16();
            let problem: serde_json::Value = response.json().await?;
            anyhow::Ok((status, problem["code"].as_str().unwrap_or_default().to_owned()))
        }
    };
    let path = "/v1/authorizations";
    assert_eq!(post(path, None, good).await?, (400, "idempotency_key_missing".to_owned()));
    for body in [
        "",
        "{",
        "{}",
        "[]",
        &good.replace("1.00", "1,00"),
        &good.replace("\"token\"", "\"tokens\""),
        &good.replace("USD", "usd"),
    ] {
        assert_eq!(post(path, Some("k"), body).await?, (400, "malformed".to_owned()), "{body}");
    }
    assert_eq!(post("/v1/payments", Some("k"), good).await?, (404, "no_such_path".to_owned()));
    assert_eq!(post("/control", None, r#"{"mode":"sideways"}"#).await?, (400, "malformed".to_owned()));
    let elsewhere = HttpPayment::new(&server.url("/elsewhere"), PATIENT)?;
    assert!(matches!(elsewhere.query("k").await, Err(StepError::Unknown { .. })), "a wrong URL knows nothing of keys");
    assert_eq!(server.get("/ledger").await?, "[]");
    assert_eq!(post(path, Some("k"), good).await?.0, 200);
    harness.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_calls_that_hang_as_unknown_and_a_ledger_has_one_server() -> Outcome {
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.jsonl");
    let harness = Payment::start(&ledger, PATIENT).await?;
    assert!(
        serve(Provider::Payment, TcpListener::bind("127.0.0.1:0").await?, &ledger, None, CancellationToken::new())
            .await
            .is_err()
    );
    let request = AuthorizeRequest {
        key: "h".to_owned(),
        reference: "ord_1".to_owned(),
        amount: Amount::new(100, 2, "USD"),
        token: "tok_hang_after_acting".to_owned(),
    };
    let hanging = tokio::spawn({
        let (port, request) = (harness.port(), request.clone());
        async move { port.authorize(&request).await }
    });
    while harness.0.ledger("").await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let port = harness.port();
    harness.stop().await?;
    assert!(matches!(hanging.await?, Err(StepError::Unknown { .. })));
    assert!(matches!(port.authorize(&request).await, Err(StepError::Retryable { .. })), "nobody listens");
    let harness = Payment::start(&ledger, PATIENT).await?;
    harness.port().authorize(&request).await?;
    assert_eq!(harness.0.ledger("").await?.len(), 1);
    harness.stop().await
}
