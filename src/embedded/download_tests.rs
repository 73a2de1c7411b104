//! Downloads from a repository of our own that answers right, wrong, short, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const HELLO: Artefact = Artefact {
    path: "g/a/1/a-1.jar",
    bytes: 5,
    sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
};

/// Answers the n-th request with the n-th text (the last one from then on) and counts them.
async fn repository(answers: Vec<&'static str>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let served = count.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let n = served.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let answer = answers[n.min(answers.len() - 1)];
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    (url, count)
}

const RIGHT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
const WRONG: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhullo";
const LONG: &str = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nhello!!";
const SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhe";
const MISSING: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_fetched_once() {
    let folder = tempfile::tempdir().unwrap();
    let (url, count) = repository(vec![RIGHT]).await;
    let cache = Cache::at(folder.path(), url);
    let (one, two) = tokio::join!(cache.fetch("it", &[HELLO]), cache.fetch("it", &[HELLO]));
    assert_eq!(one.unwrap(), two.unwrap());
    let found = cache.fetch("it", &[HELLO]).await.unwrap();
    assert_eq!(fs::read(&found[0]).unwrap(), b"hello");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_broken_transfer_is_tried_again_and_an_old_half_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".fetching-old"), "x").unwrap();
    let (url, count) = repository(vec![SHORT, WRONG, RIGHT]).await;
    Cache::at(folder.path(), url).fetch("it", &[HELLO]).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 3);
    assert_eq!(names(folder.path()), ["a-1.jar", "lock"]);
}

#[tokio::test]
async fn a_wrong_file_is_refused_in_one_line_and_nothing_is_left() {
    for answer in [WRONG, LONG] {
        let folder = tempfile::tempdir().unwrap();
        let (url, _) = repository(vec![answer]).await;
        let error = Cache::at(folder.path(), &url).fetch("it", &[HELLO]).await.unwrap_err();
        let message = error.to_string();
        assert!(message.contains(&url) && message.contains(HELLO.sha256), "{message}");
        assert!(!message.contains('\n'));
        assert_eq!(names(folder.path()), ["lock"]);
    }
}

#[tokio::test]
async fn a_missing_file_is_not_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let (url, count) = repository(vec![MISSING]).await;
    let error = Cache::at(folder.path(), url).fetch("it", &[HELLO]).await.unwrap_err();
    assert!(matches!(error, Error::Status { .. }), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}
