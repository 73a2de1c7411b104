//! What each answer of a provider means, from a socket that says exactly what the test wants.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::payment::{AuthorizeRequest, HttpPayment, PaymentPort};
use super::{Amount, StepError};

const LIMIT: Duration = Duration::from_secs(20);

fn request() -> AuthorizeRequest {
    AuthorizeRequest {
        key: "k".to_owned(),
        reference: "ord_1".to_owned(),
        amount: Amount::new(100, 2, "USD"),
        token: "tok_ok".to_owned(),
    }
}

/// Reads one request, writes `answer`, closes.
async fn answered_with(answer: String) -> Result<super::payment::Authorization, StepError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"}") {
            assert_ne!(socket.read_buf(&mut seen).await.unwrap(), 0);
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        // One call is one request: nothing is repeated behind the runner's back.
        assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err());
    });
    let answer = HttpPayment::new(&base, LIMIT).unwrap().authorize(&request()).await;
    server.await.unwrap();
    answer
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

const PROBLEM: &str = "content-type: application/problem+json\r\n";

#[tokio::test]
async fn only_a_coded_422_is_a_refusal() {
    let coded = r#"{"code":"declined","detail":"no"}"#;
    let refused = answered_with(http("422 Unprocessable", PROBLEM, coded)).await;
    assert_eq!(refused, Err(StepError::refused("declined", "no")));
    for answer in [
        http("422 Unprocessable", "content-type: text/html\r\n", "<h1>no</h1>"),
        http("422 Unprocessable", "content-type: application/json\r\n", coded),
        http("400 Bad", PROBLEM, coded),
        http("402 Pay", PROBLEM, coded),
        http("404 Not Found", PROBLEM, r#"{"code":"not_found"}"#),
        http("409 Conflict", PROBLEM, r#"{"code":"key_in_use"}"#),
        http("500 Oops", PROBLEM, coded),
        http("502 Bad Gateway", "", ""),
        http("504 Gateway Timeout", "", ""),
        http("307 Elsewhere", "location: http://127.0.0.1:1/\r\n", ""),
        http("200 OK", "", "{}"),
        http("200 OK", "", "not json"),
        http("204 No Content", "", ""),
        http("200 OK", "", "").replace("content-length: 0", "content-length: 50"),
        "HTTP/1.1 200 OK\r\ncontent-le".to_owned(),
        "garbage\r\n\r\n".to_owned(),
        String::new(),
    ] {
        let outcome = answered_with(answer.clone()).await;
        assert!(matches!(outcome, Err(StepError::Unknown { .. })), "{answer:?} gave {outcome:?}");
    }
}

#[tokio::test]
async fn to_be_turned_away_is_retryable_with_the_wait_that_was_asked_for() {
    let answer = answered_with(http("429 Too Many", "retry-after: 7\r\n", "slow down")).await;
    assert!(
        matches!(answer, Err(StepError::Retryable { retry_after: Some(wait), .. }) if wait == Duration::from_secs(7)),
        "{answer:?}"
    );
    let answer = answered_with(http("503 Unavailable", PROBLEM, r#"{"code":"unavailable","detail":"closed"}"#)).await;
    assert_eq!(answer, Err(StepError::retryable("closed")));
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let answer = HttpPayment::new(&base, LIMIT).unwrap().authorize(&request()).await;
    assert!(matches!(answer, Err(StepError::Retryable { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_call_takes_no_longer_than_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let begun = Instant::now();
    let answer = HttpPayment::new(&base, Duration::from_millis(300)).unwrap().authorize(&request()).await;
    assert!(matches!(answer, Err(StepError::Unknown { .. })), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    drop(listener);
}

#[test]
fn what_is_no_url_is_said_at_the_start() {
    for base in ["", "127.0.0.1:80", "ftp://host", "file:///x", "mailto:a@b"] {
        assert!(HttpPayment::new(base, LIMIT).is_err(), "{base}");
    }
    HttpPayment::new("http://[::1]:8/base/", LIMIT).unwrap();
}
